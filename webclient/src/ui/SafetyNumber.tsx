import * as Dialog from '@kobalte/core/dialog';
import { For, Show, type JSX } from 'solid-js';
import type { EpochStarted } from '../call/ports';
import { Close } from './icons';

interface SafetyNumberProps {
  /** The epoch as it was when the dialog was opened: a number that is read out must not change. */
  shown: EpochStarted | undefined;
  /** Who has come and gone since. */
  came: string[];
  went: string[];
  /** The number shown is no longer that of the meeting. */
  isPast: boolean;
  onRefresh: () => void;
  onClose: () => void;
}

/** The number that is the same on all devices if, and only if, they are in the same group. */
export function SafetyNumber(props: SafetyNumberProps): JSX.Element {
  return (
    <Dialog.Root
      open={props.shown !== undefined}
      modal={false}
      preventScroll={false}
      onOpenChange={(open) => {
        if (!open) props.onClose();
      }}
    >
      <Dialog.Portal>
        <Dialog.Content class="dialog" onInteractOutside={(event) => event.preventDefault()}>
          <header>
            <Dialog.Title as="h2">Safety number</Dialog.Title>
            <Dialog.CloseButton class="close" aria-label="Close">
              <Close class="icon" />
            </Dialog.CloseButton>
          </header>
          <Dialog.Description class="small soft">
            Read it out to the others. If theirs is the same, only those named here can listen; not
            this server, and nobody in between.
          </Dialog.Description>
          <p class="number" data-testid="safety-number">
            {props.shown?.safetyNumber}
          </p>
          <p class="small soft">
            In it are <Names names={props.shown?.members.map(({ name }) => name) ?? []} />.
          </p>
          <Show when={props.isPast}>
            <div class="note" role="status">
              <div>
                <Show when={props.came.length > 0}>
                  <Names names={props.came} /> came since.{' '}
                </Show>
                <Show when={props.went.length > 0}>
                  <Names names={props.went} /> left since.{' '}
                </Show>
                There is a new number now.
              </div>
              <button type="button" class="button" onClick={() => props.onRefresh()}>
                Show it
              </button>
            </div>
          </Show>
        </Dialog.Content>
      </Dialog.Portal>
    </Dialog.Root>
  );
}

function Names(props: { names: string[] }): JSX.Element {
  return (
    <For each={props.names}>
      {(name, i) => (
        <>
          {i() === 0 ? '' : i() === props.names.length - 1 ? ' and ' : ', '}
          <bdi>{name}</bdi>
        </>
      )}
    </For>
  );
}
