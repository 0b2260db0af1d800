import { useEffect, useRef } from 'preact/hooks';
import { Field, Problem } from './parts.tsx';

/** Asks for credentials. They stay in this tab, until it is closed. */
export function SignIn(props: {
  readonly problem: string;
  readonly busy: boolean;
  readonly signIn: (token: string) => void;
}) {
  const form = useRef<HTMLFormElement>(null);
  useEffect(() => {
    document.title = 'Sign in · Millrace';
    form.current?.querySelector('input')?.focus();
  }, []);
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    props.signIn(String(new FormData(event.currentTarget as HTMLFormElement).get('token')).trim());
  };
  return (
    <main class="signin">
      <form class="card" ref={form} onSubmit={submit}>
        <h1>Millrace console</h1>
        <Field
          label="API key or token"
          hint="It needs the grant admin, or one of inspect, disconnect and revoke, on all channels. It is kept in this tab alone."
        >
          {(id) => <input id={id} name="token" type="password" autocomplete="off" required />}
        </Field>
        <Problem text={props.problem} />
        <button type="submit" class="primary" disabled={props.busy}>
          Sign in
        </button>
      </form>
    </main>
  );
}
