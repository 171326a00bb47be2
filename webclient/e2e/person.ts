import type { BrowserContext, Page } from 'playwright-core';
import { expect } from 'vitest';
import { labels, loudness, pixelChanges } from './inpage';

/** How long a condition may take to come, in ms. It usually takes a tenth of that. */
export const patience = 90_000;

export const interval = 250; // ms between two looks at a condition; more often keeps a slow page from its work

/** Somebody with a browser window of their own. */
export class Person {
  /** What the page should not have said: errors, refused requests. */
  readonly complaints: string[] = [];

  private constructor(
    readonly name: string,
    readonly page: Page,
  ) {
    page.on('pageerror', (error) => this.complaints.push(`error: ${error.message}`));
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type()))
        this.complaints.push(`${message.type()}: ${message.text()}`);
    });
    page.on('request', (request) => {
      if (!['http:', 'https:', 'ws:', 'blob:', 'data:'].includes(new URL(request.url()).protocol))
        this.complaints.push(`request: ${request.url()}`);
    });
  }

  static async arrive(name: string, context: BrowserContext): Promise<Person> {
    return new Person(name, await context.newPage());
  }

  button(name: string) {
    return this.page.getByRole('button', { name, exact: true });
  }

  tile(name: string) {
    return this.page.getByRole('region', { name, exact: true });
  }

  /** Sends the picture by this codec from the next meeting on, as chosen on an earlier visit. */
  async prefer(codec: string): Promise<void> {
    await this.page.addInitScript(
      (chosen) => localStorage.setItem('conclave.codec', chosen),
      codec,
    );
  }

  /** Opens a new meeting and gives its link. */
  async open(url: string): Promise<string> {
    await this.page.goto(url);
    await this.button('New meeting').click();
    await this.enter();
    return this.page.url();
  }

  async follow(link: string): Promise<void> {
    await this.page.goto(link);
    await this.enter();
  }

  private async enter(): Promise<void> {
    await this.page.getByRole('textbox', { name: 'Your name' }).fill(this.name);
    await this.button('Join').click();
    await this.tile(this.name).waitFor();
  }

  /** Waits until the roster, as tiles, is this. */
  async expectTiles(...names: string[]): Promise<void> {
    await expect
      .poll(() => this.page.getByRole('region').evaluateAll(labels), {
        timeout: patience,
        interval,
      })
      .toEqual(expect.arrayContaining(names));
    await expect
      .poll(() => this.page.getByRole('region').count(), { timeout: patience, interval })
      .toBe(names.length);
  }

  /** Waits until the key in the corner is whole: one epoch for all, and everything shown opens. */
  async expectWholeKey(): Promise<void> {
    await expect
      .poll(() => this.button('Encryption').getAttribute('data-mark'), {
        timeout: patience,
        interval,
      })
      .toBe('whole');
  }

  /** Waits until this member's tile shows a picture that is not black and moves. */
  async expectToSee(name: string): Promise<void> {
    await expect
      .poll(() => this.page.evaluate(pixelChanges, name), { timeout: patience, interval })
      .toBeGreaterThanOrEqual(5);
  }

  /** Waits until the picture has changed five times more. */
  async expectToSeeMore(name: string): Promise<void> {
    const before = await this.page.evaluate(pixelChanges, name);
    await expect
      .poll(() => this.page.evaluate(pixelChanges, name), { timeout: patience, interval })
      .toBeGreaterThanOrEqual(before + 5);
  }

  /** Waits until something is heard. */
  async expectToHear(): Promise<void> {
    await expect
      .poll(() => this.page.evaluate(loudness), { timeout: patience, interval })
      .toBeGreaterThan(0.01);
  }

  async expectSilence(): Promise<void> {
    await expect
      .poll(() => this.page.evaluate(loudness), { timeout: patience, interval })
      .toBeLessThan(1e-4);
  }

  /** The safety number of the epoch that the page is in now. */
  async safetyNumber(): Promise<string> {
    await this.button('Safety number').click();
    const number = await this.page.getByTestId('safety-number').innerText();
    await this.button('Close').click();
    expect(number).toMatch(/^(\d{5} ){5}\d{5}$/);
    return number;
  }

  /** The names of what the Tab key reaches in a call, from the top. */
  async tabStops(count: number): Promise<(string | null)[]> {
    await this.page.getByRole('main').focus();
    const names: (string | null)[] = [];
    for (let i = 0; i < count; i++) {
      await this.page.keyboard.press('Tab');
      names.push(await this.page.locator(':focus').getAttribute('aria-label'));
    }
    return names;
  }
}
