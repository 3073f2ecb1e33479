// Application data: packets, text and byte streams, calls from participant to participant.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../lib/until.mjs';
import { scene } from './scene.mjs';

const received = (m) =>
  m.heard('dataReceived').map(([payload, from, , topic]) => ({
    text: new TextDecoder().decode(payload),
    from: from?.identity,
    topic,
  }));

// A participant that is announced can be sent to; before that a message would go to nobody.
const knows = (member, ...others) =>
  Promise.all(others.map((o) => member.until(`knows ${o}`, (m, o) => Boolean(m.remote(o)), o)));

const publish = (m, text, options) =>
  m.room.localParticipant.publishData(new TextEncoder().encode(text), options);

test(
  'reliable data arrives once, whole and in order',
  scene(async ({ join }) => {
    const [alice, bob] = [await join('alice'), await join('bob')];
    await knows(alice, 'bob');
    const sent = Array.from({ length: 50 }, (_, i) => `message ${i} ${'x'.repeat(i * 100)}`);
    for (const text of sent) await alice.run(publish, text, { reliable: true, topic: 'notes' });
    await until(
      'bob has all messages',
      async () => (await bob.run(received)).length >= sent.length,
    );
    const got = await bob.run(received);
    assert.deepEqual(
      got.map((d) => d.text),
      sent,
    );
    assert.ok(got.every((d) => d.from === 'alice' && d.topic === 'notes'));
  }),
);

test(
  'lossy data arrives',
  scene(async ({ join }) => {
    const [alice, bob] = [await join('alice'), await join('bob')];
    await knows(alice, 'bob');
    // Any one packet may be lost, so it is repeated as an application repeats a pointer position.
    await until('bob has lossy data', async () => {
      await alice.run(publish, 'pointer', { reliable: false, topic: 'pointer' });
      return (await bob.run(received)).some((d) => d.text === 'pointer' && d.topic === 'pointer');
    });
  }),
);

test(
  'data for one participant reaches nobody else',
  scene(async ({ join }) => {
    const [alice, bob, carol] = [await join('alice'), await join('bob'), await join('carol')];
    await knows(alice, 'bob', 'carol');
    await alice.run(publish, 'for bob', { reliable: true, destinationIdentities: ['bob'] });
    await alice.run(publish, 'for all', { reliable: true });
    const texts = async (member) => (await member.run(received)).map((d) => d.text);
    // Reliable data keeps its order, so whoever has the second has had the chance of the first.
    await until('carol has the second message', async () =>
      (await texts(carol)).includes('for all'),
    );
    await until('bob has the second message', async () => (await texts(bob)).includes('for all'));
    assert.deepEqual(await texts(carol), ['for all']);
    assert.deepEqual(await texts(bob), ['for bob', 'for all']);
    assert.deepEqual(await texts(alice), [], 'the sender does not hear itself');
  }),
);

test(
  'a participant without the permission to send data is not heard',
  scene(async ({ join }) => {
    const [alice, bob] = [
      await join('alice', { grant: { canPublishData: false } }),
      await join('bob'),
    ];
    const carol = await join('carol');
    await knows(alice, 'bob');
    await knows(carol, 'bob');
    await alice.run(publish, 'forbidden', { reliable: true }).catch(() => {});
    await carol.run(publish, 'allowed', { reliable: true });
    await until('bob has what is allowed', async () => (await bob.run(received)).length > 0);
    assert.deepEqual(
      (await bob.run(received)).map((d) => d.text),
      ['allowed'],
    );
  }),
);

test(
  'a long text arrives as one, with its sender and attributes',
  scene(async ({ join }) => {
    const [alice, bob] = [await join('alice'), await join('bob')];
    await knows(alice, 'bob');
    await bob.run((m) => {
      m.room.registerTextStreamHandler('chat', async (reader, { identity }) => {
        m.text = { identity, attributes: reader.info.attributes, body: await reader.readAll() };
      });
    });
    const body = 'Grüße, 世界! '.repeat(8000);
    await alice.run(
      (m, body) =>
        m.room.localParticipant.sendText(body, { topic: 'chat', attributes: { tone: 'warm' } }),
      body,
    );
    const text = await bob.until('has the text', (m) => m.text);
    assert.equal(text.identity, 'alice');
    assert.equal(text.attributes.tone, 'warm');
    assert.equal(text.body, body);
  }),
);

test(
  'a file arrives byte for byte',
  scene(async ({ join }) => {
    const [alice, bob] = [await join('alice'), await join('bob')];
    await knows(alice, 'bob');
    await bob.run((m) => {
      m.room.registerByteStreamHandler('files', async (reader) => {
        const bytes = new Uint8Array(await new Blob(await reader.readAll()).arrayBuffer());
        m.file = {
          name: reader.info.name,
          size: bytes.length,
          right: bytes.every((b, i) => b === (i * 7) % 256),
        };
      });
    });
    await alice.run((m) => {
      const bytes = Uint8Array.from({ length: 200_000 }, (_, i) => (i * 7) % 256);
      return m.room.localParticipant.sendFile(new File([bytes], 'photo.bin'), { topic: 'files' });
    });
    const file = await bob.until('has the file', (m) => m.file);
    assert.deepEqual(file, { name: 'photo.bin', size: 200_000, right: true });
  }),
);

test(
  'a call gets its answer, and its error',
  scene(async ({ join }) => {
    const [alice, bob] = [await join('alice'), await join('bob')];
    await knows(alice, 'bob');
    await bob.run((m) => {
      m.room.registerRpcMethod('greet', async ({ callerIdentity, payload }) => {
        if (payload === 'bad') throw new harness.livekit.RpcError(1789, 'not like this');
        return `hello ${callerIdentity}, you said ${payload}`;
      });
    });
    const call = async (m, payload) => {
      try {
        const destinationIdentity = 'bob';
        return await m.room.localParticipant.performRpc({
          destinationIdentity,
          method: 'greet',
          payload,
        });
      } catch (error) {
        return `${error.code} ${error.message}`;
      }
    };
    assert.equal(await alice.run(call, 'hi'), 'hello alice, you said hi');
    assert.equal(await alice.run(call, 'bad'), '1789 not like this');
  }),
);
