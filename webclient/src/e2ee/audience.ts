/** Who can open what we seal, to know when somebody new needs a key frame. */
export class Audience {
  #members = new Set<string>();

  /** These leaves were removed. Whoever is at one of them later is new, even under the same pid. */
  remove(leaves: readonly number[]): void {
    const isGone = (member: string): boolean => leaves.includes(Number.parseInt(member));
    this.#members = new Set([...this.#members].filter((member) => !isGone(member)));
  }

  /** Takes a roster of pids by leaf, and says whether it has somebody who was not there before. */
  become(roster: ReadonlyMap<number, string>): boolean {
    const before = this.#members;
    this.#members = new Set([...roster].map(([leaf, pid]) => `${leaf} ${pid}`));
    return [...this.#members].some((member) => !before.has(member));
  }
}
