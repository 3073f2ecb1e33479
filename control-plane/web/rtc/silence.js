// Owns noticing that a connection over which something came has fallen silent, long before ICE says so: after a
// change of network nobody tells a page that its packets go nowhere.
// Must not decide what that means: when everybody mutes there is silence too.

import { selectedPair } from './stats.js';

const LOOK_MS = 500;
/** Fewer bytes a look are a report now and then, and their staying away says nothing. */
const FLOWING_BYTES = 200;

export class Silence {
  #timer;
  /** What came over a connection until the last look, and whether it flowed then. */
  #looks = new WeakMap();

  /** `connections()` gives the RTCPeerConnections to look at; `onSilence()` is called whenever a flow has ceased. */
  constructor(connections, onSilence) {
    this.#timer = setInterval(() => connections().forEach((pc) => this.#look(pc, onSilence)), LOOK_MS);
  }

  stop() {
    clearInterval(this.#timer);
  }

  async #look(pc, onSilence) {
    if (pc.connectionState !== 'connected') return;
    const bytes = selectedPair(await pc.getStats())?.bytesReceived;
    if (bytes === undefined) return;
    const former = this.#looks.get(pc);
    const came = bytes - (former?.bytes ?? bytes);
    this.#looks.set(pc, { bytes, isFlowing: came >= FLOWING_BYTES });
    if (former?.isFlowing && came === 0) onSilence();
  }
}
