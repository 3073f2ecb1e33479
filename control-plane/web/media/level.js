// Owns measuring how loud a microphone is, for meters.

const FLOOR_DB = -60;

/** Calls `onLevel(0..1)` about 15 times a second until the returned function is called. */
export function measureLevel(track, onLevel) {
  const Context = window.AudioContext ?? window.webkitAudioContext;
  if (!Context) return () => {};
  const context = new Context();
  const analyser = context.createAnalyser();
  analyser.fftSize = 512;
  const source = context.createMediaStreamSource(new MediaStream([track]));
  source.connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  const timer = setInterval(() => {
    if (context.state === 'suspended') context.resume().catch(() => {});
    analyser.getFloatTimeDomainData(samples);
    const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
    const decibels = 10 * Math.log10(power + 1e-10);
    onLevel(Math.max(0, Math.min(1, 1 - decibels / FLOOR_DB)));
  }, 66);
  return () => {
    clearInterval(timer);
    source.disconnect();
    context.close().catch(() => {});
  };
}
