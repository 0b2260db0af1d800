package main

import (
	"errors"
	"slices"

	"github.com/spf13/cobra"

	"millrace.dev/auth"
	"millrace.dev/service"
)

func explainCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "explain --user USER --action ACTION --channel CHANNEL",
		Short: "Say who may do what, and why",
		Long: "Say whether a server of this configuration allows an action, and why: by which\n" +
			"grant or rule, or what is missing. It asks no server, and exits with 0 for allowed\n" +
			"and 1 for not.\n\n" +
			"The user has the grants that all users have, those of --grant, and those of --token,\n" +
			"which says who the user is as well. Without --user and --token it is about who has no\n" +
			"credentials. The server's log says the same of each decision at the level debug.",
		Example: "  millrace explain --config millrace.yaml --user ada --action publish --channel user.bob.messages\n" +
			"  millrace explain --config millrace.yaml --token \"$TOKEN\" --action subscribe --channel 'chat.*'",
		Args: cobra.NoArgs,
		RunE: runExplain,
	}
	flags := command.Flags()
	flags.String("user", "", "`user` who asks")
	flags.String("token", "", "`token` of who asks")
	flags.StringArray("grant", nil, "what the user's token allows, as `pattern=actions`; may be repeated")
	flags.String("action", "", "subscribe, publish, presence, watch, history, inspect, disconnect, revoke or admin: the `action`")
	flags.String("channel", "", "`channel` or pattern")
	addOutputFlag(command)
	for _, name := range []string{"action", "channel"} {
		cobra.CheckErr(command.MarkFlagRequired(name))
	}
	command.MarkFlagsMutuallyExclusive("user", "token")
	addSettingFlags(flags)
	return command
}

// errForbidden ends the command with the exit code of a no.
var errForbidden = errors.New("not allowed")

func runExplain(command *cobra.Command, _ []string) error {
	c, err := load(command.Flags())
	if err != nil {
		return err
	}
	action := auth.Action(flagText(command, "action"))
	if !slices.Contains(auth.Actions, action) {
		return usagef("--action must be one of %v", auth.Actions)
	}
	identity, err := explained(command, c.config)
	if err != nil {
		return err
	}
	rules := service.Config{Rules: c.serviceRules(), Authorizer: c.authorizer()}
	allowed, why := rules.Explain(identity, action, flagText(command, "channel"))
	if err := writeExplanation(newOutput(command), identity, allowed, why); err != nil || allowed {
		return err
	}
	return errForbidden
}

func writeExplanation(out *output, identity auth.Identity, allowed bool, why []string) error {
	if out.mode == asJSON {
		return out.value(map[string]any{"user": identity.User, "allowed": allowed, "why": why})
	}
	verdict := "allowed"
	if !allowed {
		verdict = "not allowed"
	}
	for _, line := range append([]string{verdict}, why...) {
		if err := out.line("%s", line); err != nil {
			return err
		}
	}
	return nil
}

// explained is whom the flags are about.
func explained(command *cobra.Command, c config) (auth.Identity, error) {
	texts, err := command.Flags().GetStringArray("grant")
	if err != nil {
		return auth.Identity{}, err
	}
	grants, err := parseGrants(texts)
	if err != nil {
		return auth.Identity{}, err
	}
	user, token := flagText(command, "user"), flagText(command, "token")
	if user != "" && c.hasCredentials() {
		return auth.Identity{User: user, Grants: slices.Concat(grants, c.Authenticated)}, nil
	}
	authenticator, err := c.authenticator()
	if err != nil {
		return auth.Identity{}, err
	}
	identity, err := authenticator.Authenticate(command.Context(), auth.Credentials{Token: token})
	if user != "" { // of an open server
		identity.User = user
	}
	identity.Grants = append(identity.Grants, grants...)
	return identity, err
}
