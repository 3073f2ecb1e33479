// Where the tests find the machine under test and with which API key they speak to it.
// run.mjs sets these; by hand, point PLENUM_URL at any running instance.

export const url = process.env.PLENUM_URL ?? 'http://127.0.0.1:7880';
export const apiKey = process.env.PLENUM_API_KEY ?? 'devkey';
export const apiSecret = process.env.PLENUM_API_SECRET ?? 'secret';

// What an SDK is given as its address.
export const signalUrl = url.replace(/^http/, 'ws');
