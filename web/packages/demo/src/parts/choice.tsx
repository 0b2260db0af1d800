import type { ReactNode } from 'react';

interface ChoiceProps<T extends string> {
  readonly label: string;
  readonly of: readonly T[];
  readonly chosen: T;
  readonly onChoose: (value: T) => void;
}

/** One of a few. */
export function Choice<T extends string>({ label, of, chosen, onChoose }: ChoiceProps<T>): ReactNode {
  return (
    <label className="choice">
      <small>{label}</small>
      <select value={chosen} onChange={({ target }) => onChoose(target.value as T)}>
        {of.map((value) => (
          <option key={value}>{value}</option>
        ))}
      </select>
    </label>
  );
}
