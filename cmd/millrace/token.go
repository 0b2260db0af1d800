package main

import (
	"cmp"
	"errors"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"millrace.dev/auth"
)

func tokenCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "token --user USER --grant PATTERN=ACTIONS",
		Short: "Sign a token for a user",
		Long: "Sign a token for a user, with the secret of the server.\n\n" +
			"Actions are subscribe, publish, presence, watch and history, and for operators\n" +
			"inspect, disconnect, revoke, or admin for all three. {user} in a pattern is the user\n" +
			"of the token.",
		Example: "  millrace token --user ada --grant 'chat.>=subscribe,publish' --grant 'user.{user}.>=subscribe'",
		Args:    cobra.NoArgs,
		RunE:    runToken,
	}
	flags := command.Flags()
	flags.String("user", "", "`user` that the token is for")
	flags.StringArray("grant", nil, "what the user may do beside what every user may, as `pattern=actions`; may be repeated")
	flags.Duration("ttl", time.Hour, "how `long` the token is valid")
	flags.String("secret", "", "`secret` of the server (also MILLRACE_SECRET)")
	flags.String("secret-file", "", "`file` with the secret (also MILLRACE_SECRET_FILE)")
	flags.String("issuer", "", "`iss` that the server's tokens must have (also MILLRACE_ISSUER)")
	flags.String("audience", "", "`aud` that the server's tokens must name (also MILLRACE_AUDIENCE)")
	addOutputFlag(command)
	cobra.CheckErr(command.MarkFlagRequired("user"))
	command.MarkFlagsMutuallyExclusive("secret", "secret-file")
	return command
}

func runToken(command *cobra.Command, _ []string) error {
	texts, err1 := command.Flags().GetStringArray("grant")
	ttl, err2 := command.Flags().GetDuration("ttl")
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	if flagText(command, "user") == "" || ttl <= 0 {
		return usagef("a token needs a user, and a --ttl of more than 0")
	}
	grants, err := parseGrants(texts)
	if err != nil {
		return err
	}
	secret, err := tokenSecret(command)
	if err != nil {
		return err
	}
	keys := auth.Keys{
		Secret:   secret,
		Issuer:   cmp.Or(flagText(command, "issuer"), os.Getenv("MILLRACE_ISSUER")),
		Audience: cmp.Or(flagText(command, "audience"), os.Getenv("MILLRACE_AUDIENCE")),
	}
	token, err := keys.Sign(flagText(command, "user"), grants, ttl)
	if err != nil {
		return err
	}
	out := newOutput(command)
	if out.mode == asJSON {
		return out.value(map[string]any{"token": token, "expires": time.Now().Add(ttl).UTC().Format(time.RFC3339)})
	}
	return out.line("%s", token)
}

// parseGrants reads grants such as `chat.>=subscribe,publish`.
func parseGrants(texts []string) ([]auth.Grant, error) {
	var grants []auth.Grant
	for _, text := range texts {
		// The last "=": a channel may have one in its name.
		i := strings.LastIndex(text, "=")
		if i < 0 {
			return nil, usagef("the grant %q is not of the form pattern=actions", text)
		}
		grant := auth.Grant{Pattern: text[:i]}
		for _, action := range splitLists([]string{text[i+1:]}) {
			grant.Actions = append(grant.Actions, auth.Action(action))
		}
		grants = append(grants, grant)
	}
	if err := auth.CheckGrants(grants); err != nil {
		return nil, usagef("%s", err)
	}
	return grants, nil
}

// tokenSecret is the secret of the flags, else of the environment.
func tokenSecret(command *cobra.Command) ([]byte, error) {
	c := config{Secret: flagText(command, "secret"), SecretFile: flagText(command, "secret-file")}
	if !c.hasCredentials() {
		c = config{Secret: os.Getenv("MILLRACE_SECRET"), SecretFile: os.Getenv("MILLRACE_SECRET_FILE")}
	}
	if !c.hasCredentials() {
		return nil, usagef("no secret: set --secret-file, MILLRACE_SECRET_FILE or MILLRACE_SECRET")
	}
	return c.secret()
}
