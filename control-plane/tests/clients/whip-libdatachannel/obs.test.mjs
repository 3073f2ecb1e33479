// An encoder of libdatachannel, as OBS Studio's is, publishes by WHIP; Chromium sees and hears it.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { mintToken } from '../lib/token.mjs';
import { scene } from '../whip-js/scene.mjs';
import { Encoder, ofOlderLibrary } from './encoder.mjs';

// Threads of the library keep the process for a minute; its own way to end them ends the process badly.
after(() => setImmediate(() => process.exit()));

test(
  'an encoder of libdatachannel is seen and heard until it goes',
  scene(async ({ room, join, play }) => {
    const bob = await join('bob');
    const viewer = await play('viewer', 'obs');
    const obs = new Encoder(await mintToken(room, 'obs', { canSubscribe: false }));
    await obs.connect();
    await obs.send();
    await Promise.all([viewer.sees('the picture', (s) => s.frameWidth === 640), viewer.hears()]);
    await bob.sees('obs');
    await bob.hears('obs');
    assert.match(obs.offer, /a=group:LS 0 1/);
    assert.match(obs.offer, /a=candidate:/);
    assert.deepEqual(obs.states.filter((state) => /disconnected|failed/.test(state)), []);
    assert.equal(await obs.close(), 200);
    await bob.told('participantDisconnected', (p) => p.identity === 'obs');
  }),
);

test(
  'an offer as of OBS 30, whose credentials stand before all sections, is understood',
  scene(async ({ room, play }) => {
    const viewer = await play('viewer', 'obs');
    const obs = new Encoder(await mintToken(room, 'obs', { canSubscribe: false }));
    await obs.connect(ofOlderLibrary);
    const [session, ...sections] = obs.offer.split('\r\nm=');
    assert.deepEqual([session, ...sections].map((part) => part.includes('a=ice-ufrag:')), [true, false, false]);
    await obs.send();
    await viewer.sees();
    assert.equal(await obs.close(), 200);
  }),
);

test(
  'AV1 of an encoder of libdatachannel is seen',
  scene(async ({ room, play }) => {
    const viewer = await play('viewer', 'obs');
    const obs = new Encoder(await mintToken(room, 'obs', { canSubscribe: false }), { codec: 'AV1' });
    await obs.connect();
    await obs.send();
    await viewer.sees('the picture', (s) => s.frameWidth === 640);
    assert.equal(await obs.close(), 200);
  }),
);

test(
  'simulcast of an encoder of libdatachannel: a player gets the largest, and the layer it asks for',
  scene(async ({ room, play }) => {
    const viewer = await play('viewer', 'obs');
    const obs = new Encoder(await mintToken(room, 'obs', { canSubscribe: false }), { widths: [640, 320, 160] });
    await obs.connect();
    await obs.send();
    await viewer.sees('the largest', (s) => s.frameWidth === 640);
    const choose = (encodingId) =>
      viewer.run(
        async (s, body) => (await s.request('POST', { 'content-type': 'application/json' }, body, '/layer')).status,
        JSON.stringify({ encodingId }),
      );
    assert.equal(await choose('0'), 200);
    await viewer.sees('the smallest', (s) => s.frameWidth === 160);
    assert.equal(await choose('2'), 200);
    await viewer.sees('the largest again', (s) => s.frameWidth === 640);
    assert.equal(await obs.close(), 200);
  }),
);
