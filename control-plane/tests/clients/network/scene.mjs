// The set-up of these tests: the internet, a server in it with every way switched on, a browser at the
// client's home, and people who call through it.

import { execFileSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { launchBrowser } from '../lib/browser.mjs';
import { launch, program } from '../lib/plenum.mjs';
import { uniqueRoom } from '../lib/room.mjs';
import { until } from '../lib/until.mjs';
import { Person } from '../page/person.mjs';
import { Internet, SERVER, obstacle } from './namespaces.mjs';
import { obstacle as noShaper } from './shaper.mjs';

const ROOT = fileURLToPath(new URL('../../../../', import.meta.url));
export const ORIGIN = `http://${SERVER.v4}:443`;
export const KEY = ['network', 'a-secret-of-the-network-tests-only'];
export const URLS = {
  udp: `turn:${SERVER.v4}:3478?transport=udp`,
  tcp: `turn:${SERVER.v4}:3478?transport=tcp`,
  tls: `turns:${SERVER.tls}:443?transport=tcp`,
};

const configuration = (folder) => `
[http]
listen = "${SERVER.v4}:443"
[keys]
${KEY[0]} = "${KEY[1]}"
[web]
guest_access = true
[node]
workers = 1
[node.udp]
listen = ["${SERVER.v4}:7882", "[${SERVER.v6}]:7882"]
[node.tcp]
listen = ["${SERVER.v4}:7881"]
[node.turn]
udp = ["${SERVER.v4}:3478"]
tcp = ["${SERVER.v4}:3478"]
tls = ["${SERVER.tls}:443"]
certificate = "${folder}/certificate.pem"
key = "${folder}/key.pem"
urls = ${JSON.stringify(Object.values(URLS))}
[log]
level = "${process.env.PLENUM_TESTS_LOG ?? 'info'}"
`;

// Runs in every page before its own scripts: keeps the connections for questions, and holds them to a policy.
function instrument() {
  const Native = window.RTCPeerConnection;
  window.connections = [];
  window.RTCPeerConnection = class extends Native {
    constructor(configuration = {}) {
      const only = new URL(location.href).searchParams.get('only');
      super(only ? held(configuration, only) : configuration);
      window.connections.push(this);
    }

    setConfiguration(configuration) {
      const only = new URL(location.href).searchParams.get('only');
      super.setConfiguration(only ? held(configuration, only) : configuration);
    }
  };
  function held(configuration, only) {
    const servers = (configuration.iceServers ?? []).map((server) => ({ ...server, urls: [server.urls].flat().filter((url) => url === only) }));
    return { ...configuration, iceTransportPolicy: 'relay', iceServers: servers.filter(({ urls }) => urls.length) };
  }
}

// How the connections of a page reach the server: one entry for each, as the browser reports it.
function paths() {
  return Promise.all(
    window.connections
      .filter(({ connectionState }) => connectionState === 'connected')
      .map(async (pc) => {
        const report = await pc.getStats();
        const transport = [...report.values()].find(({ type }) => type === 'transport');
        const pair = report.get(transport.selectedCandidatePairId);
        const [local, remote] = [report.get(pair.localCandidateId), report.get(pair.remoteCandidateId)];
        const isRelay = local.candidateType === 'relay';
        return { by: isRelay ? `turn/${local.relayProtocol}` : remote.protocol, to: remote.address };
      }),
  );
}

// Declares the tests of a file, which share a scene; skipped, with the reason, where there can be none. With `delayMs`
// the client's home is that far from the router, each way.
export async function inScene(name, declare, { delayMs } = {}) {
  const isShaped = delayMs !== undefined;
  const skip = (isShaped ? noShaper() : null) ?? (await obstacle()) ?? false;
  describe(name, { skip }, () => {
    let scene;
    before(async () => {
      scene = await Scene.open({ isShaped });
      if (isShaped) for (const way of ['up', 'down']) await scene.internet.shaper.set(way, `delay=${delayMs}ms`);
    });
    after(() => scene?.close());
    declare((title, body) => test(title, () => body(scene)));
  });
}

export class Scene {
  // `options` are those of Internet.build.
  static async open(options) {
    const scene = new Scene();
    scene.folder = await mkdtemp(join(tmpdir(), 'plenum-network-'));
    scene.internet = await Internet.build(options);
    try {
      await scene.#start();
    } catch (error) {
      await scene.close();
      throw error;
    }
    return scene;
  }

  async #start() {
    const files = ['-keyout', `${this.folder}/key.pem`, '-out', `${this.folder}/certificate.pem`];
    const subject = ['-subj', '/CN=turn', '-addext', `subjectAltName=IP:${SERVER.tls}`, '-addext', 'basicConstraints=critical,CA:FALSE', '-days', '2'];
    const kind = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
    execFileSync('openssl', ['req', ...kind, ...files, ...subject], { stdio: 'ignore' });
    await writeFile(`${this.folder}/plenum.toml`, configuration(this.folder));
    const [command, ...args] = this.internet.within('server', program(ROOT), '--config', `${this.folder}/plenum.toml`);
    const isReady = () => this.internet.run('server', 'curl', '-fsS', `${ORIGIN}/readyz`).then(() => true, () => false);
    this.plenum = await launch(`${this.folder}/plenum.log`, command, args, isReady);
    this.browser = await this.launch('client');
    await this.browser.context.addInitScript(`(${instrument})()`);
  }

  // A browser in a namespace; `more` are flags.
  async launch(where, more = []) {
    const chromium = process.env.PLENUM_TESTS_CHROMIUM ?? '/usr/bin/chromium';
    const wrapper = `${this.folder}/chromium-${where}`;
    await writeFile(wrapper, `#!/bin/sh\nexec ${this.internet.within(where, chromium).join(' ')} "$@"\n`, { mode: 0o755 });
    // The page is not https here, and the certificate of TURN is nobody's.
    const flags = [`--unsafely-treat-insecure-origin-as-secure=${ORIGIN}`, '--ignore-certificate-errors'];
    return launchBrowser([...flags, ...more], wrapper);
  }

  // Two people in a fresh room; `only` holds their connections to one TURN server's URL. They are gone after `body`.
  async call(body, only) {
    const room = uniqueRoom('network');
    const people = [];
    try {
      for (const name of ['Ann', 'Bob']) {
        const person = new Person(await this.browser.context.newPage(), name);
        people.push(person);
        const query = new URLSearchParams({ room, ...(only && { only }) });
        await person.page.goto(`${ORIGIN}/?${query}`);
        await person.enter();
      }
      await body(...people);
    } finally {
      await Promise.allSettled(people.map((person) => person.close()));
    }
  }

  // Both see and hear each other, and each connection of each goes this way and no other.
  async talks(people, way, to) {
    const [ann, bob] = people;
    await Promise.all([ann.sees(bob), bob.sees(ann), ann.hears(bob), bob.hears(ann)]);
    for (const person of people) {
      const isGood = (path) => path.by === way && (!to || path.to === to);
      let found;
      await until(
        `${person.name} is connected by ${way} alone`,
        async () => (found = await person.page.evaluate(paths)).length === 2 && found.every(isGood),
      ).catch((error) => {
        throw new Error(`${error.message}: ${JSON.stringify(found)}`);
      });
    }
  }

  // What `plenum check` says at the client's home: { status, text }.
  async check() {
    const access = ['--api-key', KEY[0], '--api-secret', KEY[1], '--authorities', `${this.folder}/certificate.pem`];
    return this.internet
      .run('client', program(ROOT), 'check', '--url', ORIGIN, ...access)
      .then((text) => ({ status: 0, text }), ({ code, stdout }) => ({ status: code, text: stdout }));
  }

  async close() {
    await this.browser?.close();
    const complaint = await this.plenum?.stop();
    await this.internet.remove();
    if (!complaint) await rm(this.folder, { recursive: true, force: true });
    if (complaint) throw new Error(`${complaint}; see ${this.folder}/plenum.log`);
  }
}
