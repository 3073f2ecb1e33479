// How a stay ends, and what the participant and the others are told about it.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { api } from '../lib/api.mjs';
import { mintToken } from '../lib/token.mjs';
import { scene } from './scene.mjs';

// Waits until the participant is out, and returns the name of the reason it was given.
const reasonOf = (member) =>
  member.until('is disconnected', (m) => {
    const [end] = m.heard('disconnected');
    return end && (harness.livekit.DisconnectReason[end[0]] ?? 'none');
  });

test(
  'a second join with one identity ends the first',
  scene(async ({ join }) => {
    const [watcher, first] = [await join('watcher'), await join('alice')];
    const second = await join('alice');
    assert.equal(await reasonOf(first), 'DUPLICATE_IDENTITY');
    await second.publishCamera();
    await watcher.sees('alice');
    assert.equal(await watcher.run((m) => m.room.remoteParticipants.size), 1);
  }),
);

test(
  'the backend removes a participant',
  scene(async ({ join, room }) => {
    const [alice, bob] = [await join('alice'), await join('bob')];
    await api.removeParticipant(room, 'alice');
    assert.equal(await reasonOf(alice), 'PARTICIPANT_REMOVED');
    await bob.told('participantDisconnected', (participant) => participant.identity === 'alice');
  }),
);

test(
  'the backend ends the room',
  scene(async ({ join, room }) => {
    const [alice, bob] = [await join('alice'), await join('bob')];
    await api.deleteRoom(room);
    assert.equal(await reasonOf(alice), 'ROOM_DELETED');
    assert.equal(await reasonOf(bob), 'ROOM_DELETED');
  }),
);

test(
  'who leaves is told that it was its own wish',
  scene(async ({ join }) => {
    const alice = await join('alice');
    await alice.leave();
    assert.equal(await reasonOf(alice), 'CLIENT_INITIATED');
  }),
);

test(
  'a closed tab is gone for the others',
  scene(async ({ join, stage, page }) => {
    const bob = await join('bob');
    const tab = await page.context().newPage();
    await tab.goto(page.url());
    await tab.waitForFunction(() => window.harness);
    const elsewhere = Object.assign(Object.create(stage), { page: tab });
    const alice = await elsewhere.join('alice');
    await alice.publishCamera();
    await bob.sees('alice');
    await tab.close();
    await bob.told('participantDisconnected', (participant) => participant.identity === 'alice');
  }),
);

test(
  'a token that does not admit is refused with a reason',
  scene(async ({ stage, room }) => {
    const refusal = async (token) => {
      const error = await stage.joinWith(token, 'alice').then(
        () => null,
        (e) => e,
      );
      assert.ok(error, 'the join must fail');
      return error.message;
    };
    const good = await mintToken(room, 'alice');
    const refused = {
      forged: `${good.slice(0, -8)}AAAAAAAA`,
      expired: await mintToken(room, 'alice', {}, { ttl: '-10m' }),
      'for something else': await mintToken(room, 'alice', { roomJoin: false }),
      garbage: 'no token at all',
    };
    for (const [kind, token] of Object.entries(refused)) {
      assert.match(await refusal(token), /token|permission|grant|auth|401/i, kind);
    }
  }),
);
