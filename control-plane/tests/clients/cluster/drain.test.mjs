// Unmodified SDKs, Chromium with livekit-client and Python's, on different nodes of one room, whose nodes are replaced
// one after the other while they decode each other.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { launchBrowser } from '../lib/browser.mjs';
import { startCluster } from '../lib/cluster.mjs';
import { cleanEnvironment } from '../lib/plenum.mjs';
import { uniqueRoom } from '../lib/room.mjs';
import { mintToken } from '../lib/token.mjs';
import { until } from '../lib/until.mjs';
import { Member } from '../sdk-js/member.mjs';
import { serve } from '../sdk-js/serve.mjs';

const ROOT = fileURLToPath(new URL('../../../../', import.meta.url));
const PYTHON = process.env.PLENUM_PYTHON ?? `${ROOT}target/clients-venv/bin/python`;

// A participant of the Python SDK in a process of its own.
async function startPython(url, room, identity) {
  const script = fileURLToPath(new URL('member.py', import.meta.url));
  const child = spawn(PYTHON, [script, identity, await mintToken(room, identity)], {
    env: { ...cleanEnvironment(), PLENUM_URL: url },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let last = { decoded: {}, disconnected: 0 };
  createInterface({ input: child.stdout }).on('line', (line) => (last = JSON.parse(line)));
  return {
    // Waits until ten more pictures of somebody are decoded.
    sees: async (who) => {
      const before = last.decoded[who] ?? 0;
      await until(`${identity} sees ${who}`, () => (last.decoded[who] ?? 0) >= before + 10);
      assert.equal(last.disconnected, 0, `${identity} was never out of the room for good`);
    },
    stop: () => child.kill('SIGKILL'),
  };
}

async function openBrowser() {
  const [site, browser] = await Promise.all([serve(), launchBrowser()]);
  const page = await browser.context.newPage();
  await page.goto(`${site.origin}/harness/index.html`);
  await page.waitForFunction(() => window.harness);
  const join = async (url, room, identity) => {
    const token = await mintToken(room, identity);
    await page.evaluate(
      ([identity, url, token]) => harness.join(identity, url, token, {}, {}),
      [identity, url.replace(/^http/, 'ws'), token],
    );
    return new Member(page, identity, identity);
  };
  return { join, close: () => (site.close(), browser.close()) };
}

test('participants are moved from node to node while they see each other', async () => {
  const cluster = await startCluster(ROOT, ['eu', 'us'], { node: { 'node.timeouts.drain': '1s' } });
  const room = uniqueRoom('drain');
  const [browser, bob] = await Promise.all([
    openBrowser(),
    startPython(cluster.replica('us').url, room, 'bob'),
  ]);
  try {
    const alice = await browser.join(cluster.replica('eu').url, room, 'alice');
    await alice.publishCamera();
    const both = () => Promise.all([alice.sees('bob'), bob.sees('alice')]);
    await both();
    // Nodes count once a second.
    for (const region of ['eu', 'us'])
      await until(`${region} serves one`, async () =>
        /plenum_node_participants(\{[^}]*\})? [1-9]/.test(await (await fetch(`${cluster.node(region).url}/metrics`)).text()),
      );
    for (const region of ['us', 'eu']) {
      assert.equal(await cluster.replace(region), null);
      await both();
    }
    assert.equal(await alice.run((m) => m.heard('disconnected').length), 0);
  } finally {
    bob.stop();
    await browser.close();
    assert.deepEqual(await cluster.stop(), []);
  }
});
