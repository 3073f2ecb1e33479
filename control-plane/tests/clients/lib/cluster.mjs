// A cluster of real processes on this machine: etcd, replicas of the control plane, media nodes. One replica and
// one node for each region, so that whose signalling comes to a replica is served by the node beside it.

import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort, launch, program } from './plenum.mjs';

const ANY = '127.0.0.1:0';

const answers = (url) =>
  fetch(url).then(
    (response) => response.ok,
    () => false,
  );

// Programs lie beside `plenum`.
const beside = (root, name) => program(root).replace(/plenum$/, name);

const sets = (settings) => Object.entries(settings).flatMap(([key, value]) => ['--set', `${key}=${value}`]);

export class Cluster {
  constructor(root, settings) {
    this.root = root;
    this.settings = settings;
    this.secret = randomBytes(16).toString('hex');
    this.replicas = [];
    this.nodes = [];
    this.started = 0;
    this.folder = `${root}target/clients`;
    mkdirSync(this.folder, { recursive: true });
  }

  log(name) {
    return `${this.folder}/cluster-${process.pid}-${(this.started += 1)}-${name}.log`;
  }

  async startEtcd() {
    const [client, peer] = [await freePort(), await freePort()];
    this.data = mkdtempSync(join(tmpdir(), 'plenum-etcd-'));
    this.store = `http://127.0.0.1:${client}`;
    const own = `http://127.0.0.1:${peer}`;
    const args = [
      ['--name', 'one', '--data-dir', this.data, '--log-level', 'error'],
      ['--listen-client-urls', this.store, '--advertise-client-urls', this.store],
      ['--listen-peer-urls', own, '--initial-advertise-peer-urls', own],
      ['--initial-cluster', `one=${own}`],
    ].flat();
    const isReady = () => answers(`${this.store}/health`);
    this.etcd = await launch(this.log('etcd'), process.env.PLENUM_TEST_ETCD ?? 'etcd', args, isReady);
  }

  async startReplica(region) {
    const [http, cluster] = [await freePort(), await freePort()];
    const settings = {
      'http.listen': `127.0.0.1:${http}`,
      'cluster.listen': `127.0.0.1:${cluster}`,
      'cluster.secret': this.secret,
      'cluster.region': region,
      'store.etcd.endpoints': this.store,
      ...this.settings.replica,
    };
    const url = `http://127.0.0.1:${http}`;
    const command = beside(this.root, 'control-plane');
    const isReady = () => answers(`${url}/healthz`);
    const process = await launch(this.log(`replica-${region}`), command, sets(settings), isReady);
    const replica = { region, url, cluster: `127.0.0.1:${cluster}`, ...process };
    this.replicas.push(replica);
    return replica;
  }

  // A node, once a control plane knows it.
  async startNode(region) {
    const http = await freePort();
    const settings = {
      'http.listen': `127.0.0.1:${http}`,
      'cluster.listen': ANY,
      'cluster.secret': this.secret,
      'cluster.control_planes': this.replicas.map((replica) => replica.cluster).join(','),
      'node.region': region,
      'node.workers': 1,
      'node.udp.listen': ANY,
      'node.tcp.listen': ANY,
      'node.relay.listen': ANY,
      ...this.settings.node,
    };
    const url = `http://127.0.0.1:${http}`;
    const command = beside(this.root, 'sfu');
    const isReady = () => answers(`${url}/readyz`);
    const process = await launch(this.log(`node-${region}`), command, sets(settings), isReady);
    const node = { region, url, ...process };
    this.nodes.push(node);
    return node;
  }

  node(region) {
    return this.nodes.find((node) => node.region === region);
  }

  replica(region) {
    return this.replicas.find((replica) => replica.region === region);
  }

  // Ends one of ours by a signal, and forgets it.
  async signal(one, name) {
    this.nodes = this.nodes.filter((node) => node !== one);
    this.replicas = this.replicas.filter((replica) => replica !== one);
    await one.signal(name);
  }

  // Puts a new node beside that of a region, and sends everybody there: what an upgrade does. Resolves to what was wrong
  // with the old one.
  async replace(region) {
    const old = this.node(region);
    this.nodes = this.nodes.filter((node) => node !== old);
    await this.startNode(region);
    return old.stop();
  }

  // All ends; resolves to what was wrong with any of them.
  async stop() {
    const complaints = [];
    for (const one of [...this.nodes, ...this.replicas]) {
      const complaint = await one.stop();
      if (complaint) complaints.push(`${complaint} (${one.log})`);
    }
    await this.etcd?.signal('SIGKILL');
    if (this.data) rmSync(this.data, { recursive: true, force: true });
    return complaints;
  }
}

// With these regions. `settings.replica` and `settings.node` go over the usual ones.
export async function startCluster(root, regions, settings = {}) {
  const cluster = new Cluster(root, settings);
  await cluster.startEtcd();
  for (const region of regions) await cluster.startReplica(region);
  for (const region of regions) await cluster.startNode(region);
  return cluster;
}
