// Who may import whom: ui -> call -> {signal, e2ee}; nothing goes back, nothing in a circle.
module.exports = {
  forbidden: [
    { name: 'no-circle', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'signal-stands-alone',
      severity: 'error',
      from: { path: '^src/signal' },
      to: { path: '^src/(call|e2ee|ui)' },
    },
    {
      name: 'e2ee-knows-wire-types-only',
      severity: 'error',
      from: { path: '^src/e2ee' },
      to: { path: '^src/(call|ui|signal/(?!generated))' },
    },
    {
      name: 'call-knows-no-ui',
      severity: 'error',
      from: { path: '^src/call' },
      to: { path: '^src/ui' },
    },
    {
      name: 'call-is-of-no-framework',
      severity: 'error',
      from: { path: '^src/(call|signal|e2ee)' },
      to: { path: 'node_modules/(solid-js|@kobalte|lucide-solid)' },
    },
    { name: 'resolvable', severity: 'error', from: {}, to: { couldNotResolve: true } },
  ],
  options: {
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    doNotFollow: { path: 'node_modules' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'types', 'default'],
    },
  },
};
