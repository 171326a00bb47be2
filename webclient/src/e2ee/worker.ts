import type { FromWorker } from './messages';

const fatal: FromWorker = {
  type: 'fatal',
  fatal: { code: 'worker_failed', message: 'This build has no encryption.' },
};
postMessage(fatal);
