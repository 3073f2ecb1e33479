// End-to-end encryption by the SDK's own worker: what passes through stays sealed and intact.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { scene } from './scene.mjs';

// Not AV1: this version of the SDK does not encrypt it.
const CODECS = ['vp8', 'vp9', 'h264'];
const PASSPHRASE = 'correct horse battery staple';

for (const codec of CODECS) {
  test(
    `${codec}: whoever has the key sees and hears, whoever has not does not`,
    scene(async ({ join }) => {
      const alice = await join('alice', { e2ee: PASSPHRASE });
      const bob = await join('bob', { e2ee: PASSPHRASE });
      const eve = await join('eve', { e2ee: 'a guess' });
      await alice.publishCamera(undefined, { videoCodec: codec, backupCodec: false });
      await alice.publishTone();
      await bob.sees('alice');
      await bob.hears('alice');
      assert.ok(await bob.run((m) => m.publication('alice', 'camera').isEncrypted));

      await eve.until('receives the sealed stream', async (m) => {
        return (await m.inbound('alice', 'camera'))?.bytesReceived > 10_000;
      });
      assert.equal((await eve.inbound('alice', 'camera')).framesDecoded, 0);
    }),
  );
}

test(
  'text is readable for those who have the key',
  scene(async ({ join }) => {
    const [alice, bob] = [
      await join('alice', { e2ee: PASSPHRASE }),
      await join('bob', { e2ee: PASSPHRASE }),
    ];
    await alice.until('knows bob', (m) => Boolean(m.remote('bob')));
    await bob.run((m) => {
      m.room.registerTextStreamHandler('chat', async (reader) => (m.text = await reader.readAll()));
    });
    await alice.run((m) => m.room.localParticipant.sendText('between us', { topic: 'chat' }));
    assert.equal(await bob.until('has the text', (m) => m.text), 'between us');
  }),
);
