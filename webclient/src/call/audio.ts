/** A level from 0 (silence) to 1, of decoded sound. */
export type Level = number;

const quietest = -55; // dBFS that count as silence
const loudest = -15; // dBFS that fill the ring

/** The level of samples in [-1, 1], by their root mean square. */
export function levelOf(samples: Float32Array): Level {
  let sum = 0;
  for (const sample of samples) sum += sample * sample;
  const rms = Math.sqrt(sum / Math.max(1, samples.length));
  const decibel = 20 * Math.log10(rms + 1e-9);
  return Math.min(1, Math.max(0, (decibel - quietest) / (loudest - quietest)));
}

interface Meter {
  track: MediaStreamTrack;
  node: AnalyserNode;
  end: () => void;
}

/**
 * Measures sound. One AudioContext serves the page, made at the first use, which must follow a
 * gesture of the user's where the browser asks for one.
 */
export class LevelMeters {
  readonly #meters = new Map<string, Meter>();
  readonly #samples = new Float32Array(1024);
  #context: AudioContext | undefined;

  /**
   * Measures track under this name, instead of the one before. Where the browser gives no sound to
   * measure there is no level: a call does not need one.
   */
  watch(name: string, track: MediaStreamTrack): void {
    if (this.#meters.get(name)?.track === track) return;
    this.unwatch(name);
    try {
      this.#meters.set(name, this.#meter(track));
    } catch {
      // No audio device, too many contexts, or a track that has ended.
    }
  }

  #meter(track: MediaStreamTrack): Meter {
    const context = (this.#context ??= new AudioContext());
    const source = context.createMediaStreamSource(new MediaStream([track]));
    const node = new AnalyserNode(context, { fftSize: this.#samples.length });
    source.connect(node);
    return { track, node, end: () => source.disconnect() };
  }

  unwatch(name: string): void {
    this.#meters.get(name)?.end();
    this.#meters.delete(name);
  }

  /** The level now; 0 for what is not watched. */
  level(name: string): Level {
    const meter = this.#meters.get(name);
    if (!meter) return 0;
    meter.node.getFloatTimeDomainData(this.#samples);
    return levelOf(this.#samples);
  }

  resume(): void {
    // Refused without a gesture; the next one tries again.
    this.#context?.resume().catch(() => undefined);
  }

  close(): void {
    for (const name of [...this.#meters.keys()]) this.unwatch(name);
    void this.#context?.close();
    this.#context = undefined;
  }
}
