// Joining, being known, leaving, and being refused, with the Node SDK.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConnectionState, DisconnectReason } from '@livekit/rtc-node';
import { until } from '../lib/until.mjs';
import { api } from '../lib/api.mjs';
import { scene } from './scene.mjs';

test(
  'participants see one another come and go',
  scene(async ({ join, room }) => {
    const [alice, bob] = [await join('alice'), await join('bob')];
    assert.equal(alice.room.name, room);
    assert.equal(alice.room.connectionState, ConnectionState.CONN_CONNECTED);
    await alice.knows('bob');
    await bob.knows('alice');
    await bob.leave();
    await alice.told('participantDisconnected', (participant) => participant.identity === 'bob');
    assert.equal(alice.room.remoteParticipants.size, 0);
  }),
);

test(
  'a changed name, metadata or attribute is seen by others',
  scene(async ({ join }) => {
    const [alice, bob] = [await join('alice'), await join('bob')];
    const seen = await bob.knows('alice');
    await alice.local.updateName('Alice B.');
    await alice.local.updateMetadata('host');
    await alice.local.setAttributes({ hand: 'up' });
    await until(
      'bob sees all of it',
      () => seen.name === 'Alice B.' && seen.metadata === 'host' && seen.attributes.hand === 'up',
    );
  }),
);

test(
  'a removed participant is told why',
  scene(async ({ join, room }) => {
    const alice = await join('alice');
    await api.removeParticipant(room, 'alice');
    const [reason] = await alice.told('disconnected');
    assert.equal(reason, DisconnectReason.PARTICIPANT_REMOVED);
  }),
);

test(
  'a token without the right to join is refused',
  scene(async ({ join }) => {
    await assert.rejects(join('alice', { roomJoin: false }));
  }),
);
