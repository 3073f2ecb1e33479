// GStreamer publishes by WHIP and plays by WHEP, with Chromium at the other end: with webrtcbin alone, and with the
// elements that are made of it, `whipclientsink` and `whepclientsrc`.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { launchBrowser } from '../lib/browser.mjs';
import { startPlenum } from '../lib/plenum.mjs';
import { uniqueRoom } from '../lib/room.mjs';
import { mintToken } from '../lib/token.mjs';
import { until } from '../lib/until.mjs';
import { Person } from '../page/person.mjs';

const path = (relative) => fileURLToPath(new URL(relative, import.meta.url));
const ROOT = path('../../../../');
const MEDIA = '10.99.0.1';
const CLIENT = `${ROOT}target/clients/gstreamer-client`;
const ELEMENTS = process.env.PLENUM_GSTREAMER ?? `${ROOT}target/clients/gstreamer/debug/elements`;
const PICTURE = 'videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=640,height=360,framerate=25/1';
const TONE = 'audiotestsrc is-live=true ! audioconvert ! audioresample';

function obstacle() {
  const addresses = Object.values(networkInterfaces()).flat();
  if (!addresses.some(({ address }) => address === MEDIA)) return 'needs root, for a network namespace (../firefox/network)';
  try {
    mkdirSync(`${ROOT}target/clients`, { recursive: true });
    const flags = execFileSync('pkg-config', ['--cflags', '--libs', 'gstreamer-webrtc-1.0', 'gstreamer-sdp-1.0'], { encoding: 'utf8' });
    execFileSync('cc', ['-O1', '-o', CLIENT, path('client.c'), ...flags.trim().split(/\s+/)], { stdio: 'pipe' });
    return false;
  } catch (error) {
    return `GStreamer does not compile here, ./setup installs it: ${error.message}`;
  }
}

// A program that runs until it is stopped; what it says is shown when the test fails.
class Program {
  static running = [];

  constructor(program, ...args) {
    this.said = '';
    this.child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.child.on('exit', (code, signal) => (this.ended = signal ?? code));
    for (const stream of [this.child.stdout, this.child.stderr]) stream.on('data', (text) => (this.said += text));
    Program.running.push(this);
  }

  // Numbers of buffers of sound and of pictures so far.
  counts() {
    const [, audio = 0, video = 0] = this.said.match(/.*audio (\d+), video (\d+)/s) ?? [];
    return { audio: Number(audio), video: Number(video) };
  }

  async decodes(what) {
    await until(`GStreamer decodes ${what}`, () => {
      if (this.ended !== undefined) throw new Error(`it ended with ${this.ended}:\n${this.said.slice(-2000)}`);
      const { audio, video } = this.counts();
      return audio > 50 && video > 50;
    });
  }

  async stop() {
    this.child.kill('SIGINT');
    await until('the program ends', () => this.ended !== undefined);
  }
}

describe('GStreamer', { skip: obstacle() }, () => {
  let plenum, chromium;

  before(async () => {
    [plenum, chromium] = await Promise.all([startPlenum(ROOT, { media: MEDIA }), launchBrowser()]);
    console.log(`${execFileSync('gst-launch-1.0', ['--version'], { encoding: 'utf8' }).split('\n')[1]}, Chromium ${chromium.context.browser().version()}`);
  });

  after(async () => {
    for (const { child, said } of Program.running.filter(({ ended }) => ended === undefined)) {
      console.log(said.slice(-3000));
      child.kill('SIGKILL');
    }
    await chromium?.close();
    const complaint = await plenum?.stop();
    assert.equal(complaint ?? null, null);
  });

  // `body({ person, identity, room, token })`: somebody in Chromium, and what mints GStreamer's tokens.
  const meeting = (body) => async () => {
    const room = uniqueRoom('gstreamer');
    const person = new Person(await chromium.context.newPage(), 'Cy');
    try {
      await person.page.goto(`${plenum.url}/?room=${room}`);
      await person.enter();
      const { identity } = (await person.state()).me;
      await body({ person, identity, room, token: (name, grant) => mintToken(room, name, grant, { name }) });
    } finally {
      await person.close();
    }
  };

  const isGone = (person, name) => async () => !(await person.state()).participants.some((other) => other.name === name);

  for (const codec of ['vp8', 'h264']) {
    test(`webrtcbin publishes ${codec}: Chromium sees and hears it, and so does another webrtcbin`, meeting(async ({ person, room, token }) => {
      const encoder = new Program(CLIENT, 'publish', `${plenum.url}/whip`, await token('encoder'), codec);
      await Promise.all([person.sees({ name: 'encoder' }), person.hears({ name: 'encoder' })]);
      assert.equal((await person.received({ name: 'encoder' }, 'CAMERA')).width, 640);
      const player = new Program(CLIENT, 'play', `${plenum.url}/whep/${room}/encoder`, await token('player', { canPublish: false }), codec);
      await player.decodes(codec);
      await player.stop();
      await encoder.stop();
      await until('the encoder has left', isGone(person, 'encoder'));
    }));
  }

  test('webrtcbin plays what Chromium publishes', meeting(async ({ identity, room, token }) => {
    const player = new Program(CLIENT, 'play', `${plenum.url}/whep/${room}/${encodeURIComponent(identity)}`, await token('player', { canPublish: false }), 'vp8');
    await player.decodes('what Chromium sends');
    await player.stop();
  }));

  test('whipclientsink publishes and whepclientsrc plays', { skip: existsSync(ELEMENTS) ? false : `needs the elements, ./setup gstreamer builds them (looked for ${ELEMENTS})` }, meeting(async ({ person, room, token }) => {
    // Of all codecs it tries every encoder first, which takes a busy machine half a minute.
    const sink = ['whipclientsink', 'name=w', 'video-caps=video/x-h264', 'stun-server=""', `signaller::whip-endpoint=${plenum.url}/whip`, `signaller::auth-token=${await token('encoder')}`];
    const encoder = new Program(ELEMENTS, ...sink, ...`${PICTURE} ! w. ${TONE} ! w.`.split(' '));
    await Promise.all([person.sees({ name: 'encoder' }), person.hears({ name: 'encoder' })]);
    const player = new Program(ELEMENTS, 'whepclientsrc', 'name=play', 'stun-server=""', `signaller::whep-endpoint=${plenum.url}/whep/${room}/encoder`, `signaller::auth-token=${await token('player', { canPublish: false })}`);
    await player.decodes('what whipclientsink sends');
    await player.stop();
    await encoder.stop();
    await until('the encoder has left', isGone(person, 'encoder'));
  }));
});
