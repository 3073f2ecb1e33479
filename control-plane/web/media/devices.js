// Owns opening devices: constraints, the list of devices, and the screen picker.

const CAMERA_SIZE = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 } };
const VOICE = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };

/** A camera's video track. Falls back to any camera when the chosen one is gone. */
export async function openCameraTrack(deviceId) {
  const stream = await openWithFallback((id) => ({ video: { ...CAMERA_SIZE, ...(id && { deviceId: { exact: id } }) } }), deviceId);
  return stream.getVideoTracks()[0];
}

/** A microphone's audio track, with the browser's voice processing. */
export async function openMicTrack(deviceId) {
  const stream = await openWithFallback((id) => ({ audio: { ...VOICE, ...(id && { deviceId: { exact: id } }) } }), deviceId);
  return stream.getAudioTracks()[0];
}

/** Camera and microphone with one question to the person: `{camera, mic}`. */
export async function openBothTracks(cameraId, micId) {
  if (!navigator.mediaDevices) throw new DOMException('not a secure page', 'SecurityError');
  const stream = await navigator.mediaDevices.getUserMedia({
    video: { ...CAMERA_SIZE, ...(cameraId && { deviceId: cameraId }) },
    audio: { ...VOICE, ...(micId && { deviceId: micId }) },
  });
  return { camera: stream.getVideoTracks()[0], mic: stream.getAudioTracks()[0] };
}

async function openWithFallback(constraintsFor, deviceId) {
  if (!navigator.mediaDevices) throw new DOMException('not a secure page', 'SecurityError');
  try {
    return await navigator.mediaDevices.getUserMedia(constraintsFor(deviceId));
  } catch (error) {
    if (!deviceId || error.name !== 'OverconstrainedError') throw error;
    return navigator.mediaDevices.getUserMedia(constraintsFor(''));
  }
}

/** A screen's stream, with its sound where the browser offers it. */
export async function openScreen() {
  const stream = await navigator.mediaDevices.getDisplayMedia({
    video: { width: { max: 2560 }, height: { max: 1440 }, frameRate: { max: 15 } },
    audio: true,
  });
  for (const track of stream.getVideoTracks()) track.contentHint = 'detail';
  return stream;
}

export const canShareScreen = () => Boolean(navigator.mediaDevices?.getDisplayMedia);
export const canChooseSpeaker = () => 'setSinkId' in HTMLMediaElement.prototype;

/** Devices by kind, each `{id, label}`; labels are numbered until the person allows access. */
export async function listDevices() {
  const all = (await navigator.mediaDevices?.enumerateDevices?.()) ?? [];
  const pick = (kind, word) =>
    all
      .filter((device) => device.kind === kind && device.deviceId !== '')
      .map((device, index) => ({ id: device.deviceId, label: device.label || `${word} ${index + 1}` }));
  return {
    cameras: pick('videoinput', 'Camera'),
    mics: pick('audioinput', 'Microphone'),
    speakers: canChooseSpeaker() ? pick('audiooutput', 'Speaker') : [],
  };
}
