import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { brotliCompress, constants, gzip } from 'node:zlib';
import type { Plugin } from 'vite';
import solid from 'vite-plugin-solid';
import { defineConfig } from 'vitest/config';

const packable = /\.(js|css|html|svg|wasm|webmanifest)$/;
const worthPacking = 1024; // bytes; below, the headers weigh more than the gain

/** Writes name.br and name.gz beside each file that gains by it: the server does not pack at run time. */
function precompress(): Plugin {
  let outDir = 'dist';
  return {
    name: 'precompress',
    apply: 'build',
    configResolved(config) {
      outDir = config.build.outDir;
    },
    async closeBundle() {
      const entries = await readdir(outDir, { recursive: true, withFileTypes: true });
      for (const entry of entries) {
        if (entry.isFile() && packable.test(entry.name))
          await pack(join(entry.parentPath, entry.name));
      }
    },
  };
}

async function pack(path: string): Promise<void> {
  const plain = await readFile(path);
  if (plain.length < worthPacking) return;
  const params = {
    [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY,
    [constants.BROTLI_PARAM_LGWIN]: constants.BROTLI_MAX_WINDOW_BITS, // 16 MB: the whole core
    [constants.BROTLI_PARAM_SIZE_HINT]: plain.length,
  };
  await writeFile(`${path}.br`, await promisify(brotliCompress)(plain, { params }));
  await writeFile(`${path}.gz`, await promisify(gzip)(plain, { level: 9 }));
}

export default defineConfig({
  plugins: [solid(), precompress()],
  build: {
    target: ['chrome117', 'firefox117', 'safari16.4'],
    assetsInlineLimit: 0, // an inlined asset is a data: URL, which the policy refuses
    modulePreload: { polyfill: false }, // the polyfill is an inline script in some browsers
    sourcemap: false,
  },
  worker: { format: 'es' },
  server: {
    proxy: { '/api': { target: process.env['CONCLAVE_DEV'] ?? 'http://localhost:8080', ws: true } },
  },
  test: {
    include: ['src/**/*.test.ts'],
    environment: 'node',
    // They end a test that waits for what never comes; a build machine may be slow.
    testTimeout: 60_000, // ms
    hookTimeout: 60_000, // ms
  },
});
