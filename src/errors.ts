/**
 * The error kinds of the whole project: few, so that a caller can catch by kind. Every message says what is
 * wrong, the numbers, and the remedy.
 */

/** Base of every error this project throws on purpose; the command line prints its message without a stack. */
export class MimicVideoError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** A wrong argument: unknown option, value out of range, shapes that do not fit together. */
export class UsageError extends MimicVideoError {}

/** A file or folder that cannot be used: missing, truncated, malformed, of the wrong kind. */
export class FormatError extends MimicVideoError {}

/** Weights that do not fit the model: missing, unexpected or wrongly shaped keys, all of them in one message. */
export class WeightsError extends MimicVideoError {}

/** The Hub cannot give what was asked: not found, gated, offline, out of disk. */
export class HubError extends MimicVideoError {}

/** No usable adapter, or a request beyond what the adapter allows. */
export class AdapterError extends MimicVideoError {}

/** The GPU refused a shader, a pipeline or a dispatch. */
export class GpuValidationError extends MimicVideoError {}

/** The device is gone; the message says what was running. */
export class DeviceLostError extends MimicVideoError {}

/** A value that is not finite arose; the message names the first tensor that holds one. */
export class NonFiniteError extends MimicVideoError {}
