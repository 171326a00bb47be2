interface Named {
  leaf: number;
  pid: string;
  name: string;
}

const maxBytes = 128; // of UTF-8
const storageKey = 'conclave.name';
// Controls, line separators and marks that turn the direction of writing: with them one name can
// be made to look like another. The Go package e2ee refuses what is taken out here.
const unprintable = /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/gu;
// What is not seen: two names differ by it and look alike.
const unseen = /[\p{Default_Ignorable_Code_Point}\u2800\ufff9-\ufffb]/u;
// What a joiner beside it shapes: emoji, and letters of scripts that join.
const joined =
  /(?![\p{Script=Latin}\p{Script=Greek}\p{Script=Cyrillic}\p{Script=Han}\p{Script=Hangul}])[\p{L}\p{M}\p{So}\p{Sk}]/u;
const symbol = /[\p{So}\p{Sm}]/u;

/** The name as it is sent; undefined if nothing is left of it. */
export function cleanName(typed: string): string | undefined {
  let name = withoutUnseen(typed.replace(unprintable, '').trim());
  while (new TextEncoder().encode(name).length > maxBytes)
    name = withoutUnseen(dropLast(name).trim());
  return name === '' ? undefined : name;
}

/** Leaves of the unseen characters those that shape something where they stand. */
function withoutUnseen(text: string): string {
  const kept: string[] = [];
  const all = Array.from(text);
  all.forEach((char, i) => {
    const shapes = shapesBetween(kept.at(-1) ?? '', char, all[i + 1] ?? '');
    if (!unseen.test(char) || shapes) kept.push(char);
  });
  const name = kept.join('').trim();
  return name === text ? name : withoutUnseen(name);
}

function shapesBetween(before: string, char: string, after: string): boolean {
  if (/[\u200c\u200d]/u.test(char)) return joined.test(before) && joined.test(after);
  return /[\ufe0e\ufe0f]/u.test(char) && symbol.test(before);
}

function dropLast(text: string): string {
  return Array.from(text).slice(0, -1).join('');
}

/** What is left of a name when all that can hardly be seen is taken out. */
function looksOf(name: string): string {
  const bare = Array.from(name).filter((char) => !unseen.test(char) && !/\s/u.test(char));
  return bare.join('').normalize('NFKC').toLocaleLowerCase();
}

/**
 * The numbers of those whose names look the same, by pid: 1 is who was in the group first. Who has a
 * name alone has none.
 */
export function namesakes(members: readonly Named[]): ReadonlyMap<string, number> {
  const groups = new Map<string, Named[]>();
  for (const member of [...members].sort((a, b) => a.leaf - b.leaf)) {
    const looks = looksOf(member.name);
    groups.set(looks, [...(groups.get(looks) ?? []), member]);
  }
  const several = [...groups.values()].filter((group) => group.length > 1);
  return new Map(several.flatMap((group) => group.map(({ pid }, i) => [pid, i + 1] as const)));
}

/** The name that was used last on this device. A browser may forbid storage: then none. */
export function rememberedName(): string {
  try {
    return localStorage.getItem(storageKey) ?? '';
  } catch {
    return '';
  }
}

export function rememberName(name: string): void {
  try {
    localStorage.setItem(storageKey, name);
  } catch {
    // Storage is forbidden or full; the name is typed again next time.
  }
}

/** At most two letters for a tile without a picture. */
export function initials(name: string): string {
  const words = name.split(/\s+/u).filter((word) => word !== '');
  const letters = [words.at(0), words.length > 1 ? words.at(-1) : undefined];
  return letters
    .map((word) => (word === undefined ? '' : (Array.from(word)[0] ?? '')))
    .join('')
    .toLocaleUpperCase();
}
