import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["{common,providers,ipamd,cni,deploy,test}/**/*.test.ts"],
    globalSetup: "test/global-setup.ts",
    pool: "forks",
    testTimeout: 30_000,
    hookTimeout: 60_000,
    reporters: ["default", "./test/counting-reporter.ts"],
  },
});
