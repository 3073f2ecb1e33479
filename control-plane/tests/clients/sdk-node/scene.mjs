// One test's stage: a room of its own and participants of @livekit/rtc-node in it. When the test
// ends, everybody leaves; when the file ends, the native library is shut down.

import { after } from 'node:test';
import { Room, RoomEvent, dispose } from '@livekit/rtc-node';
import { signalUrl } from '../lib/env.mjs';
import { uniqueRoom } from '../lib/room.mjs';
import { mintToken } from '../lib/token.mjs';
import { until } from '../lib/until.mjs';

after(() => dispose());

class Member {
  constructor(identity) {
    this.identity = identity;
    this.room = new Room();
    this.events = [];
    this.endings = [];
    for (const name of Object.values(RoomEvent)) {
      this.room.on(name, (...args) => this.events.push({ name, args }));
    }
  }

  get local() {
    return this.room.localParticipant;
  }

  heard(name) {
    return this.events.filter((e) => e.name === name).map((e) => e.args);
  }

  async told(name, accept = () => true) {
    return until(`${this.identity} is told "${name}"`, () =>
      this.heard(name).find((args) => accept(...args)),
    );
  }

  knows(identity) {
    return until(`${this.identity} knows ${identity}`, () =>
      this.room.remoteParticipants.get(identity),
    );
  }

  // Waits until a track of that kind of `identity` is subscribed, and returns it.
  async track(identity, kind) {
    return until(`${this.identity} is subscribed to ${identity}`, () => {
      const publications =
        this.room.remoteParticipants.get(identity)?.trackPublications.values() ?? [];
      return [...publications].find((p) => p.kind === kind)?.track;
    });
  }

  async leave() {
    for (const end of this.endings) await end();
    await this.room.disconnect();
  }
}

// Wraps a test's body: `test('…', scene(async ({ join }) => { … }))`.
export function scene(body) {
  return async () => {
    const room = uniqueRoom('node');
    const members = [];
    const join = async (identity, grant) => {
      const member = new Member(identity);
      await member.room.connect(signalUrl, await mintToken(room, identity, grant), {
        autoSubscribe: true,
        dynacast: false,
      });
      members.push(member);
      return member;
    };
    try {
      await body({ room, join });
    } finally {
      for (const member of members) await member.leave();
    }
  };
}
