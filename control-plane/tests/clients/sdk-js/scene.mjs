// One test's stage: a page of its own in the shared browser, a room of its own, any number of
// participants in it. When the test ends, everybody leaves and the page closes.

import { after } from 'node:test';
import { launchBrowser } from '../lib/browser.mjs';
import { signalUrl } from '../lib/env.mjs';
import { uniqueRoom } from '../lib/room.mjs';
import { mintToken } from '../lib/token.mjs';
import { Member } from './member.mjs';
import { serve } from './serve.mjs';

// By the browser's flags.
const shared = new Map();

async function open(flags) {
  const [site, browser] = await Promise.all([serve(), launchBrowser(flags)]);
  return { site, browser };
}

function opened(flags) {
  const key = flags.join(' ');
  if (!shared.has(key)) shared.set(key, open(flags));
  return shared.get(key);
}

after(async () => {
  for (const { site, browser } of await Promise.all(shared.values())) {
    await browser.close();
    site.close();
  }
});

// Runs in a page before its own scripts: no answer of it takes video of a codec.
function leaveOut(mime) {
  const { createAnswer } = RTCPeerConnection.prototype;
  RTCPeerConnection.prototype.createAnswer = function (...args) {
    const { codecs } = RTCRtpReceiver.getCapabilities('video');
    const rest = codecs.filter((codec) => codec.mimeType.toLowerCase() !== mime);
    for (const transceiver of this.getTransceivers()) {
      if (transceiver.receiver.track.kind === 'video') transceiver.setCodecPreferences(rest);
    }
    return createAnswer.apply(this, args);
  };
}

async function openHarness(page, origin) {
  await page.goto(`${origin}/harness/index.html`);
  await page.waitForFunction(() => window.harness);
}

class Scene {
  constructor(page, room = uniqueRoom('js')) {
    this.page = page;
    this.room = room;
    this.joins = 0;
    this.others = [];
  }

  // The same room in a page of its own, whose participants take no video of a codec ("video/vp9").
  async without(mime) {
    const page = await this.page.context().newPage();
    this.others.push(page);
    await page.addInitScript(leaveOut, mime);
    await openHarness(page, new URL(this.page.url()).origin);
    return new Scene(page, this.room);
  }

  // Joins a participant. `grant` and `details` go into the token, `options` to the SDK's Room,
  // `e2ee` is a passphrase.
  async join(identity, { grant, details, options = {}, connect = {}, e2ee } = {}) {
    const token = await mintToken(this.room, identity, grant, details);
    return this.joinWith(token, identity, { options, connect, e2ee });
  }

  async joinWith(token, identity, { options = {}, connect = {}, e2ee } = {}) {
    const key = `${identity}#${(this.joins += 1)}`;
    await this.page.evaluate(
      async ([key, url, token, options, connect, passphrase]) => {
        if (passphrase) options.encryption = await harness.sharedKey(passphrase);
        await harness.join(key, url, token, options, connect);
        if (passphrase) await harness.members.get(key).room.setE2EEEnabled(true);
      },
      [key, signalUrl, token, options, connect, e2ee],
    );
    return new Member(this.page, key, identity);
  }
}

// What the page complains of, kept for the report of a test that fails. The SDK first tries a path
// of the protocol's next version; that it is not there is no complaint.
function complaintsOf(page) {
  const complaints = [];
  const complain = (text) => {
    if (!/rtc\/v1|status of 404/.test(text)) complaints.push(text.slice(0, 200));
  };
  page.on('pageerror', (error) => complain(`uncaught: ${error.message}`));
  page.on('console', (message) => message.type() === 'error' && complain(message.text()));
  return complaints;
}

// Wraps a test's body: `test('…', scene(async ({ join }) => { … }))`. `flags` are added to the
// browser's: scenes of a file with the same share one.
export function scene(body, flags = []) {
  return async () => {
    const { site, browser } = await opened(flags);
    const page = await browser.context.newPage();
    const complaints = complaintsOf(page);
    const stage = new Scene(page);
    try {
      await openHarness(page, site.origin);
      await body({ stage, page, room: stage.room, join: stage.join.bind(stage) });
      await page.evaluate(() => harness.leaveAll());
    } catch (error) {
      const heard = complaints.length ? `\nthe page said:\n  ${complaints.join('\n  ')}` : '';
      throw new Error(`${error.message}${heard}`, { cause: error });
    } finally {
      await Promise.all([page, ...stage.others].map((opened) => opened.close()));
    }
  };
}
