// A lost signalling connection, and a new session in place of the old one: the call goes on.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { scene } from './scene.mjs';

// Both publish, so that both directions are seen to survive.
async function call(join) {
  const [alice, bob] = [await join('alice'), await join('bob')];
  for (const member of [alice, bob]) {
    await member.publishCamera();
    await member.publishTone();
  }
  await inTouch(alice, bob);
  return [alice, bob];
}

async function inTouch(alice, bob) {
  await alice.sees('bob');
  await bob.sees('alice');
  await alice.hears('bob');
  await bob.hears('alice');
}

const simulate = (m, scenario) => m.room.simulateScenario(scenario);
const count = (m, event) => m.heard(event).length;

test(
  'resume: the signalling connection is lost, media goes on without a new picture to wait for',
  scene(async ({ join }) => {
    const [alice, bob] = await call(join);
    const before = await bob.inbound('alice', 'camera');
    await bob.run(simulate, 'signal-reconnect');
    await bob.told('reconnected');
    await inTouch(alice, bob);
    const after = await bob.inbound('alice', 'camera');
    assert.equal(after.ssrc, before.ssrc, 'the same stream goes on');
    assert.ok(after.framesDecoded > before.framesDecoded);
    assert.equal(await alice.run(count, 'participantDisconnected'), 0, 'bob never left');
  }),
);

test(
  'resume of the publisher: viewers notice nothing',
  scene(async ({ join }) => {
    const [alice, bob] = await call(join);
    await alice.run(simulate, 'signal-reconnect');
    await alice.told('reconnected');
    await inTouch(alice, bob);
    assert.equal(await bob.run(count, 'trackUnsubscribed'), 0);
    assert.equal(await bob.run(count, 'participantDisconnected'), 0);
  }),
);

test(
  'resume: what happened meanwhile is caught up',
  scene(async ({ join }) => {
    const [alice, bob] = await call(join);
    const reconnecting = bob.run((m) => m.room.simulateScenario('signal-reconnect', 1000));
    await alice.run((m) => m.room.localParticipant.setName('Alice B.'));
    await alice.run((m) => m.room.localParticipant.setCameraEnabled(false));
    await reconnecting;
    await bob.told('reconnected');
    await bob.until('knows the new name', (m) => m.remote('alice').name === 'Alice B.');
    await bob.until(
      'knows that the camera is muted',
      (m) => m.publication('alice', 'camera').isMuted,
    );
  }),
);

test(
  'data sent while a reader is away arrives after it resumes',
  scene(async ({ join }) => {
    const [alice, bob] = await call(join);
    const reconnecting = bob.run((m) => m.room.simulateScenario('signal-reconnect', 500));
    await alice.run((m) =>
      m.room.localParticipant.publishData(new Uint8Array([42]), { reliable: true }),
    );
    await reconnecting;
    await bob.told('dataReceived', (payload) => payload[0] === 42);
  }),
);

for (const [scenario, who] of [
  ['full-reconnect', 'the SDK gives its session up'],
  ['resume-reconnect', 'the resume fails'],
  ['node-failure', 'the media node drops the participant'],
]) {
  test(
    `full reconnect: ${who}, and both see and hear each other again`,
    scene(async ({ join }) => {
      const [alice, bob] = await call(join);
      await alice.run(simulate, scenario);
      await alice.told('reconnected');
      await inTouch(alice, bob);
      const publications = await bob.run((m) => m.remote('alice').trackPublications.size);
      assert.equal(publications, 2, 'nothing is there twice');
    }),
  );
}
