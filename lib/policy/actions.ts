/** Most actions that a policy can be loaded for: each is tried once per caller that the policy names. */
export const MAX_ACTIONS = 128;

/** Form of an action's name: a word that Cedar, JSON, metrics and logs take as it is. */
const ACTION_NAME = /^[A-Za-z]\w{0,63}$/;

/**
 * Checks the name of an action, such as `Decrypt`.
 *
 * @param field Name of the field, for the message
 * @param given The name
 * @returns The name
 * @throws {TypeError} When it is not a word of at most 64 letters, digits and `_` that starts with a letter
 */
export function checkAction(field: string, given: unknown): string {
  if (typeof given === "string" && ACTION_NAME.test(given)) return given;
  throw new TypeError(`${field} must be a word of at most 64 letters, digits and _, such as Decrypt`);
}

/**
 * Checks the actions that a host asks its policy about.
 *
 * @param given Their names
 * @returns A frozen copy
 * @throws {TypeError} When it is not a list, or a name is not a word or is there twice
 * @throws {RangeError} When there are none, or more than 128
 */
export function checkActions(given: unknown): readonly string[] {
  if (!Array.isArray(given)) {
    throw new TypeError('actions must be a list of names, such as ["Decrypt"]: all that the host asks about');
  }
  if (given.length === 0 || given.length > MAX_ACTIONS) {
    throw new RangeError(`actions must have 1 to ${MAX_ACTIONS} names`);
  }
  const actions = Array.from(given, (action, place) => checkAction(`actions[${place}]`, action));
  const twice = actions.find((action, place) => actions.indexOf(action) < place);
  if (twice !== undefined) throw new TypeError(`actions must have no name twice: ${twice}`);
  return Object.freeze(actions);
}
