/** Every project runs the TypeScript sources through swc; worker threads run the build, which the global set-up brings up to date. */
const common = {
  testEnvironment: 'node',
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      { jsc: { parser: { syntax: 'typescript' }, target: 'es2023' }, module: { type: 'commonjs' } },
    ],
  },
  modulePathIgnorePatterns: ['<rootDir>/dist'],
  setupFiles: ['<rootDir>/test/support/jest-setup.ts'],
};
module.exports = {
  testTimeout: 20000,
  randomize: true,
  errorOnDeprecated: true,
  globalSetup: '<rootDir>/test/support/global-setup.js',
  projects: [
    {
      ...common,
      displayName: 'unit',
      testMatch: [
        '<rootDir>/test/{dicom,net,dimse,store,catalog,security,config,services,cli,admin,transcode}/**/*.test.ts',
        '<rootDir>/test/*.test.ts',
      ],
    },
    {
      ...common,
      displayName: 'behaviour',
      testMatch: ['<rootDir>/test/behaviour/**/*.test.ts', '<rootDir>/test/regress/**/*.test.ts'],
    },
    { ...common, displayName: 'interop', testMatch: ['<rootDir>/test/interop/**/*.test.ts'] },
  ],
};
