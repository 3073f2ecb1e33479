// Who is there, what they are called, who speaks, how good their connection is.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { api } from '../lib/api.mjs';
import { mintToken } from '../lib/token.mjs';
import { until } from '../lib/until.mjs';
import { scene } from './scene.mjs';

test(
  'participants see one another come and go',
  scene(async ({ join }) => {
    const alice = await join('alice', {
      details: { name: 'Alice', metadata: 'host', attributes: { desk: '7' } },
    });
    const bob = await join('bob');
    await alice.told('participantConnected', (participant) => participant.identity === 'bob');
    const seen = await bob.until('knows alice', (m) => {
      const { name, metadata, attributes } = m.remote('alice') ?? {};
      return name && { name, metadata, attributes };
    });
    assert.deepEqual(seen, { name: 'Alice', metadata: 'host', attributes: { desk: '7' } });
    await bob.leave();
    await alice.told('participantDisconnected', (participant) => participant.identity === 'bob');
    assert.equal(await alice.run((m) => m.room.remoteParticipants.size), 0);
  }),
);

test(
  'a changed name, metadata or attribute is seen by others',
  scene(async ({ join }) => {
    const alice = await join('alice', { details: { attributes: { hand: 'down', desk: '7' } } });
    const bob = await join('bob');
    await alice.run(async (m) => {
      await m.room.localParticipant.setName('Alice B.');
      await m.room.localParticipant.setMetadata('{"seat":1}');
      await m.room.localParticipant.setAttributes({ hand: 'up', desk: '' });
    });
    await bob.told('participantNameChanged', (name) => name === 'Alice B.');
    await bob.told('participantMetadataChanged', (before, p) => p.metadata === '{"seat":1}');
    await bob.until('sees the raised hand', (m) => m.remote('alice').attributes.hand === 'up');
    assert.deepEqual(await bob.run((m) => m.remote('alice').attributes), { hand: 'up' });
  }),
);

test(
  'a participant without the grant can not rename itself',
  scene(async ({ join }) => {
    const alice = await join('alice', { grant: { canUpdateOwnMetadata: false } });
    await assert.rejects(alice.run((m) => m.room.localParticipant.setName('Somebody')));
  }),
);

test(
  'metadata of the room reaches everybody',
  scene(async ({ join, room }) => {
    const bob = await join('bob');
    await api.updateRoomMetadata(room, 'topic: cats');
    await bob.told('roomMetadataChanged', (metadata) => metadata === 'topic: cats');
  }),
);

test(
  'a participant is forwarded to another room',
  scene(async ({ join, stage, room }) => {
    const [alice, bob] = [await join('alice'), await join('bob')];
    await alice.publishCamera();
    const hall = `${room}-hall`;
    const carol = await stage.joinWith(await mintToken(hall, 'carol'), 'carol');
    await api.forwardParticipant(room, 'alice', hall);
    await carol.sees('alice');
    await alice.publishTone();
    await carol.hears('alice');
    await bob.sees('alice');
    assert.equal(await alice.run((m) => m.room.remoteParticipants.size), 1, 'only bob is where she is');
    await api.removeParticipant(hall, 'alice');
    await carol.told('participantDisconnected', (participant) => participant.identity === 'alice');
    await bob.sees('alice');
  }),
);

test(
  'the active speaker is the one who speaks, until silence',
  scene(async ({ join }) => {
    const [alice, bob, carol] = [await join('alice'), await join('bob'), await join('carol')];
    const switchMicrophone = (member, act) =>
      member.run((m, act) => m.room.localParticipant.getTrackPublication('microphone')[act](), act);
    const carolHears = (whom) =>
      until(`carol sees "${whom}" speak`, async () => {
        const speakers = await carol.run((m) => m.room.activeSpeakers.map((p) => p.identity));
        return speakers.join() === whom;
      });
    await bob.publishTone();
    await switchMicrophone(bob, 'mute');
    await alice.publishTone();
    await carolHears('alice');
    await switchMicrophone(bob, 'unmute');
    await switchMicrophone(alice, 'mute');
    await carolHears('bob');
    await switchMicrophone(bob, 'mute');
    await carolHears('');
  }),
);

test(
  'everybody learns how good the connections are',
  scene(async ({ join }) => {
    const [alice, bob] = [await join('alice'), await join('bob')];
    await alice.publishCamera();
    await bob.sees('alice');
    await bob.until(
      'knows the quality of alice',
      (m) => m.remote('alice').connectionQuality === 'excellent',
    );
    await alice.until(
      'knows its own quality',
      (m) => m.room.localParticipant.connectionQuality === 'excellent',
    );
  }),
);
