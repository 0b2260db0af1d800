import { type ReactNode, type RefObject, useEffect, useState } from 'react';

interface MeterProps {
  readonly came: RefObject<number>;
  readonly shown: RefObject<number>;
}

/** How much comes, and how often it is rendered. */
export function Meter({ came, shown }: MeterProps): ReactNode {
  const [rates, setRates] = useState({ came: 0, shown: 0 });
  useEffect(() => {
    const timer = setInterval(() => {
      setRates({ came: came.current, shown: shown.current });
      came.current = shown.current = 0;
    }, 1000);
    return () => clearInterval(timer);
  }, [came, shown]);
  return (
    <dl className="meter">
      <div>
        <dt>messages a second</dt>
        <dd data-meter="came">{rates.came}</dd>
      </div>
      <div>
        <dt>renders a second</dt>
        <dd data-meter="shown">{rates.shown}</dd>
      </div>
    </dl>
  );
}
