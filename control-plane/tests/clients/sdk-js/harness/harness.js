// The browser's side of a test: rooms of livekit-client, driven from Node through `window.harness`.
// It only acts and observes as an application would; it decides nothing about right or wrong.

import * as livekit from '/livekit-client/livekit-client.esm.mjs';

const members = new Map();

// One participant of a test: its room, everything the SDK told it, the elements it plays in.
class Member {
  constructor(options) {
    this.room = new livekit.Room(options);
    this.events = [];
    for (const name of Object.values(livekit.RoomEvent)) {
      this.room.on(name, (...args) => this.events.push({ name, args }));
    }
    this.room.on('trackSubscribed', (track) =>
      document.querySelector('main').append(track.attach()),
    );
    this.room.on('trackUnsubscribed', (track) => track.detach().forEach((e) => e.remove()));
  }

  heard(name) {
    return this.events.filter((e) => e.name === name).map((e) => e.args);
  }

  remote(identity) {
    return this.room.remoteParticipants.get(identity);
  }

  publication(identity, source) {
    return this.remote(identity)?.getTrackPublication(source);
  }

  // What the browser received and decoded of somebody's track; null while there is none.
  async inbound(identity, source) {
    const receiver = this.publication(identity, source)?.track?.receiver;
    if (!receiver) return null;
    const report = await receiver.getStats();
    const rtp = [...report.values()].find((s) => s.type === 'inbound-rtp');
    if (!rtp) return null;
    const codec = report.get(rtp.codecId)?.mimeType;
    const [played] = receiver.getSynchronizationSources();
    return { ...rtp, codec, played };
  }

  // What the browser agreed to on the connection that it receives on.
  answer() {
    return this.room.engine.pcManager.subscriber.getLocalDescription().sdp;
  }

  // What the browser encodes and sends of one of its own tracks, one entry per encoding.
  async outbound(source) {
    const sender = this.room.localParticipant.getTrackPublication(source)?.track?.sender;
    if (!sender) return [];
    return [...(await sender.getStats()).values()].filter((s) => s.type === 'outbound-rtp');
  }
}

async function join(key, url, token, options, connectOptions) {
  const member = new Member(options);
  members.set(key, member);
  await member.room.connect(url, token, connectOptions);
}

// A steady tone as a microphone: the browser's fake one only beeps.
function tone() {
  const context = new AudioContext();
  const oscillator = new OscillatorNode(context, { frequency: 440 });
  const out = context.createMediaStreamDestination();
  oscillator.connect(out);
  oscillator.start();
  return out.stream.getAudioTracks()[0];
}

async function sharedKey(passphrase) {
  const keyProvider = new livekit.ExternalE2EEKeyProvider();
  await keyProvider.setKey(passphrase);
  const worker = new Worker('/livekit-client/livekit-client.e2ee.worker.mjs', { type: 'module' });
  return { keyProvider, worker };
}

async function leaveAll() {
  await Promise.all([...members.values()].map((m) => m.room.disconnect()));
}

window.harness = { livekit, members, join, tone, sharedKey, leaveAll };
