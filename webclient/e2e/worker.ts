import type { Page } from 'playwright-core';

/** Has this function run in the page's worker before its own code. */
export async function beforeWorker(page: Page, code: () => void): Promise<void> {
  await page.route('**/assets/worker-*.js', async (route) => {
    const response = await route.fetch();
    const headers = { ...response.headers() };
    delete headers['content-encoding'];
    delete headers['content-length'];
    const body = `(${code.toString()})();${await response.text()}`;
    await route.fulfill({ response, headers, body });
  });
}

/** What a worker that runs `meddle` does when it is told to. */
export interface Meddling {
  /** Every frame takes so long to seal, in ms. */
  slow?: number;
  /** The worker does nothing at all for so long, in ms. */
  block?: number;
  /** What the page sends goes past the client's transforms, in clear. */
  bypass?: boolean;
}

/** Tells the page's worker, which runs `meddle`. */
export function tell(page: Page, what: Meddling): Promise<void> {
  return page.evaluate((told) => new BroadcastChannel('meddle').postMessage(told), what);
}

/** Runs in the worker before its own code: puts itself between the browser and the client's transforms. */
export function meddle(): void {
  interface Frame {
    data: ArrayBuffer;
  }
  interface Transformer {
    readable: ReadableStream<Frame>;
    writable: WritableStream<Frame>;
    options: { direction: string };
  }
  let slow = 0;
  let isBypassed = false;
  new BroadcastChannel('meddle').onmessage = ({ data }: MessageEvent<Meddling>) => {
    slow = data.slow ?? slow;
    isBypassed = data.bypass ?? isBypassed;
    const end = performance.now() + (data.block ?? 0);
    while (performance.now() < end); // keeps the thread, as a machine does that has no time for it
  };
  const encrypt = crypto.subtle.encrypt.bind(crypto.subtle);
  crypto.subtle.encrypt = async (...input) => {
    if (slow > 0) await new Promise((resolve) => setTimeout(resolve, slow));
    return encrypt(...input);
  };
  addEventListener('rtctransform', (event) => {
    const { transformer } = event as Event & { transformer: Transformer };
    const { readable, writable, options } = transformer;
    if (options.direction !== 'send') return;
    const [toClient, fromClient] = [new TransformStream<Frame>(), new TransformStream<Frame>()];
    const [client, network] = [toClient.writable.getWriter(), writable.getWriter()];
    const sealed = new WritableStream<Frame>({ write: (frame) => network.write(frame) });
    const encoded = new WritableStream<Frame>({
      write: (frame) => (isBypassed ? network : client).write(frame),
    });
    fromClient.readable.pipeTo(sealed).catch(() => undefined); // the call is over
    readable.pipeTo(encoded).catch(() => undefined);
    Object.defineProperties(transformer, {
      readable: { value: toClient.readable },
      writable: { value: fromClient.writable },
    });
  });
}
