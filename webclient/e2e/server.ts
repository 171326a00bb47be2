import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';

/** The program that an environment variable names, or the one of this name in bin. */
function program(variable: string, name: string): string {
  return resolve(import.meta.dirname, '..', process.env[variable] ?? `../bin/${name}`);
}

export const conclave = program('CONCLAVE_BIN', 'conclave');
export const conclaveTap = program('CONCLAVE_TAP_BIN', 'conclave-tap');

/** The server's address for Chromium. Firefox gathers no loopback candidate, so it needs another. */
const loopback = '127.0.0.1';

/** An address of this machine that is not loopback: the only kind over which Firefox has media. */
export const outerAddress = Object.values(networkInterfaces())
  .flatMap((addresses) => addresses ?? [])
  .find(({ family, internal }) => family === 'IPv4' && !internal)?.address;

export interface ServerOptions {
  binary?: string;
  flags?: string[];
  /** The address that answers name. The pages stay on loopback, where http is a secure context. */
  mediaAddress?: string;
  /** The file of the network namespace in which it runs. */
  namespace?: string | undefined;
}

/** A command line as it is run in a network namespace. */
function within(namespace: string | undefined, ...command: string[]): [string, string[]] {
  const [program = '', ...args] = namespace
    ? ['nsenter', `--net=${namespace}`, ...command]
    : command;
  return [program, args];
}

/** A server on ports that the kernel chose. */
export class Server {
  private constructor(
    private readonly process: ChildProcess,
    readonly url: string,
  ) {}

  static async start({
    binary = conclave,
    flags = [],
    mediaAddress = loopback,
    namespace,
  }: ServerOptions = {}): Promise<Server> {
    if (!existsSync(binary)) throw new Error(`${binary} is missing: run make build first`);
    const args = ['serve', '--listen', `${loopback}:0`, '--media-port', '0'];
    const child = spawn(
      ...within(namespace, binary, ...args, '--node-ip', mediaAddress, ...flags),
      { stdio: ['ignore', 'pipe', 'ignore'] },
    );
    // Ready when it has printed one line with its URL.
    for await (const line of createInterface({ input: child.stdout })) {
      const url = /http:\/\/\S+/.exec(line)?.[0];
      if (url) return new Server(child, url);
    }
    throw new Error('the server ended before it was ready');
  }

  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.process.once('exit', resolve));
    this.process.kill('SIGTERM');
    await ended;
  }
}
