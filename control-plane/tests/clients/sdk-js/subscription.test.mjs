// Who gets which track: by the viewer's choice, by the publisher's permission, by the token.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { scene } from './scene.mjs';

const subscribe = (m, wanted) => m.publication('alice', 'camera').setSubscribed(wanted);

test(
  'a viewer ends a subscription and takes it up again',
  scene(async ({ join }) => {
    const [alice, bob] = [await join('alice'), await join('bob')];
    await alice.publishCamera();
    await bob.sees('alice');
    await bob.run(subscribe, false);
    await bob.told('trackUnsubscribed');
    assert.equal(await bob.inbound('alice', 'camera'), null);
    await bob.run(subscribe, true);
    await bob.sees('alice');
  }),
);

test(
  'a subscription ended and taken up in one breath goes on',
  scene(async ({ join }) => {
    const [alice, bob] = [await join('alice'), await join('bob')];
    await alice.publishCamera();
    await bob.sees('alice');
    await bob.run((m) => {
      for (const wanted of [false, true, false, true])
        m.publication('alice', 'camera').setSubscribed(wanted);
    });
    await bob.told('trackUnsubscribed');
    await bob.sees('alice');
  }),
);

test(
  'without automatic subscription a viewer gets only what it asks for',
  scene(async ({ join }) => {
    const alice = await join('alice');
    const bob = await join('bob', { connect: { autoSubscribe: false } });
    await alice.publishCamera();
    await alice.publishTone();
    await bob.until('knows both tracks', (m) => m.remote('alice')?.trackPublications.size === 2);
    await bob.run(subscribe, true);
    await bob.sees('alice');
    assert.equal(await bob.inbound('alice', 'microphone'), null);
  }),
);

test(
  'the publisher decides who may subscribe, and may change its mind',
  scene(async ({ join }) => {
    const [alice, bob, carol] = [await join('alice'), await join('bob'), await join('carol')];
    const allow = (m, everybody, ...identities) =>
      m.room.localParticipant.setTrackSubscriptionPermissions(
        everybody,
        identities.map((participantIdentity) => ({ participantIdentity, allowAll: true })),
      );
    await alice.run(allow, false, 'carol');
    await alice.publishCamera();
    await carol.sees('alice');
    assert.equal(await bob.inbound('alice', 'camera'), null);
    await alice.run(allow, true);
    await bob.sees('alice');
    await alice.run(allow, false, 'bob');
    await carol.told('trackUnsubscribed');
    await bob.sees('alice');
  }),
);

test(
  'a token without publishing is refused, one limited to the microphone publishes only that',
  scene(async ({ join }) => {
    const mute = await join('mute', { grant: { canPublish: false } });
    await assert.rejects(mute.publishCamera());
    const alice = await join('alice', { grant: { canPublishSources: [2] } });
    const bob = await join('bob');
    await alice.publishTone();
    await bob.hears('alice');
    await assert.rejects(alice.publishCamera());
  }),
);

test(
  'a token without subscribing sees nobody’s tracks',
  scene(async ({ join }) => {
    const alice = await join('alice');
    const deaf = await join('deaf', { grant: { canSubscribe: false } });
    const bob = await join('bob');
    await alice.publishCamera();
    await bob.sees('alice');
    assert.equal(await deaf.inbound('alice', 'camera'), null);
  }),
);

test(
  'a hidden participant sees others and is not seen',
  scene(async ({ join }) => {
    const alice = await join('alice');
    const ghost = await join('ghost', { grant: { hidden: true, canPublish: false } });
    await alice.publishCamera();
    await ghost.sees('alice');
    const bob = await join('bob');
    await alice.until('knows bob', (m) => Boolean(m.remote('bob')));
    assert.equal(await alice.run((m) => m.room.remoteParticipants.size), 1);
    assert.equal(await bob.run((m) => Boolean(m.remote('ghost'))), false);
  }),
);
