import { afterEach, describe, expect, it, vi } from 'vitest';
import { onNetworkChange } from './network';

class FakeInformation extends EventTarget {
  type: string | undefined = 'wifi';

  become(type: string | undefined): void {
    this.type = type;
    this.dispatchEvent(new Event('change'));
  }
}

function start(connection?: FakeInformation) {
  const page = new EventTarget();
  vi.stubGlobal('window', page);
  vi.stubGlobal('navigator', { connection });
  const changes = { count: 0 };
  const stop = onNetworkChange(() => changes.count++);
  return { page, changes, stop };
}

afterEach(() => {
  vi.unstubAllGlobals();
});

describe('onNetworkChange', () => {
  it('tells another network from another quality of the same', () => {
    const information = new FakeInformation();
    const { changes, stop } = start(information);
    information.become('wifi');
    expect(changes.count).toBe(0);
    information.become('cellular');
    expect(changes.count).toBe(1);
    information.become('none');
    expect(changes.count).toBe(1);
    information.become('wifi');
    expect(changes.count).toBe(2);
    stop();
    information.become('cellular');
    expect(changes.count).toBe(2);
  });

  it('has the end of being offline everywhere', () => {
    const { page, changes, stop } = start();
    page.dispatchEvent(new Event('online'));
    expect(changes.count).toBe(1);
    stop();
    page.dispatchEvent(new Event('online'));
    expect(changes.count).toBe(1);
  });
});
