// Application data between participants of the Node SDK.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RpcError } from '@livekit/rtc-node';
import { until } from '../lib/until.mjs';
import { scene } from './scene.mjs';

const received = (member) =>
  member.heard('dataReceived').map(([payload, from]) => ({
    text: new TextDecoder().decode(payload),
    from: from?.identity,
  }));
const publish = (member, text, options) =>
  member.local.publishData(new TextEncoder().encode(text), { reliable: true, ...options });

test(
  'reliable data arrives in order, data for one reaches nobody else',
  scene(async ({ join }) => {
    const [alice, bob, carol] = [await join('alice'), await join('bob'), await join('carol')];
    await alice.knows('bob');
    await alice.knows('carol');
    await publish(alice, 'for bob', { destination_identities: ['bob'] });
    await publish(alice, 'for all');
    for (const member of [bob, carol]) {
      await until('the last message is there', () =>
        received(member).some((d) => d.text === 'for all'),
      );
    }
    const from = 'alice';
    assert.deepEqual(received(bob), [
      { text: 'for bob', from },
      { text: 'for all', from },
    ]);
    assert.deepEqual(received(carol), [{ text: 'for all', from }]);
  }),
);

test(
  'lossy data arrives',
  scene(async ({ join }) => {
    const [alice, bob] = [await join('alice'), await join('bob')];
    await alice.knows('bob');
    await until('bob has lossy data', async () => {
      await publish(alice, 'pointer', { reliable: false });
      return received(bob).some((d) => d.text === 'pointer');
    });
  }),
);

test(
  'a long text arrives as one',
  scene(async ({ join }) => {
    const [alice, bob] = [await join('alice'), await join('bob')];
    await alice.knows('bob');
    let text;
    bob.room.registerTextStreamHandler('chat', async (reader, { identity }) => {
      text = { identity, body: await reader.readAll() };
    });
    const body = 'Grüße, 世界! '.repeat(8000);
    await alice.local.sendText(body, { topic: 'chat' });
    await until('bob has the text', () => text);
    assert.deepEqual(text, { identity: 'alice', body });
  }),
);

test(
  'a byte stream arrives byte for byte',
  scene(async ({ join }) => {
    const [alice, bob] = [await join('alice'), await join('bob')];
    await alice.knows('bob');
    let got;
    bob.room.registerByteStreamHandler('files', async (reader) => {
      got = Buffer.concat(await reader.readAll());
    });
    const sent = Uint8Array.from({ length: 100_000 }, (_, i) => (i * 7) % 256);
    const writer = await alice.local.streamBytes({
      name: 'photo.bin',
      topic: 'files',
      totalSize: sent.length,
    });
    await writer.write(sent);
    await writer.close();
    await until('bob has the file', () => got);
    assert.ok(got.equals(sent));
  }),
);

test(
  'a call gets its answer and its error',
  scene(async ({ join }) => {
    const [alice, bob] = [await join('alice'), await join('bob')];
    await alice.knows('bob');
    bob.local.registerRpcMethod('greet', async ({ callerIdentity, payload }) => {
      if (payload === 'bad') throw new RpcError(1789, 'not like this');
      return `hello ${callerIdentity}, you said ${payload}`;
    });
    const call = (payload) =>
      alice.local.performRpc({ destinationIdentity: 'bob', method: 'greet', payload });
    assert.equal(await call('hi'), 'hello alice, you said hi');
    await assert.rejects(call('bad'), { code: 1789, message: 'not like this' });
  }),
);
