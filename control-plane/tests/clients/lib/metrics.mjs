// What the machine under test counts of media.

import { url } from './env.mjs';

// The sum of a metric over its labels.
export async function metric(name) {
  const text = await (await fetch(`${url}/metrics`)).text();
  const lines = text.split('\n').filter((line) => line.startsWith(name) && /^[ {]/.test(line.slice(name.length)));
  if (lines.length === 0) throw new Error(`there is no metric ${name}`);
  return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

// Packets of media that came and that went. Not datagrams: who asks our STUN server for its address sends some.
export async function packets() {
  const names = ['plenum_node_rtp_received_total', 'plenum_node_rtp_forwarded_total'];
  const counts = await Promise.all(names.map(metric));
  return counts.reduce((sum, count) => sum + count, 0);
}
