import { createEffect, type JSX } from 'solid-js';

/** A picture without sound: that comes from elsewhere. */
export function TrackVideo(props: { track: MediaStreamTrack }): JSX.Element {
  let video!: HTMLVideoElement;
  createEffect(() => {
    video.muted = true; // the attribute alone does not mute an element made by script
    // Firefox would lay a button over each picture, and make two stops for the Tab key of it.
    video.disablePictureInPicture = true;
    video.srcObject = new MediaStream([props.track]);
  });
  return <video ref={video} autoplay playsinline tabIndex={-1} aria-hidden="true" />;
}
