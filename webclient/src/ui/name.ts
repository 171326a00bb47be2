const maxBytes = 128; // of UTF-8
const storageKey = 'conclave.name';
// Controls, line separators and marks that turn the direction of writing: with them one name can
// be made to look like another.
const unprintable = /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/gu;

/** The name as it is sent; undefined if nothing is left of it. */
export function cleanName(typed: string): string | undefined {
  let name = typed.replace(unprintable, '').trim();
  while (new TextEncoder().encode(name).length > maxBytes) name = dropLast(name).trim();
  return name === '' ? undefined : name;
}

function dropLast(text: string): string {
  return Array.from(text).slice(0, -1).join('');
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
