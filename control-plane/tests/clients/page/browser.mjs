// The browser of one test file: launched for its first page, closed after its last test.

import { after } from 'node:test';
import { launchBrowser } from '../lib/browser.mjs';

let launched;

// A blank page. Pages of a file share one profile, so what the lobby remembers they share too.
export async function openPage() {
  launched ??= launchBrowser();
  const { context } = await launched;
  return context.newPage();
}

after(async () => {
  if (launched) await (await launched).close();
});
