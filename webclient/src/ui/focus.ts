/**
 * Gives the focus to a new page: what had it went with the page before, and without a focus a
 * screen reader starts again at the top and a keyboard nowhere. The first page leaves it alone.
 */
export function takeFocus(page: HTMLElement): void {
  if (hadPage) page.focus({ preventScroll: true });
  hadPage = true;
}

let hadPage = false;
