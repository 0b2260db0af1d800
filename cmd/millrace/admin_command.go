package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	millracev1 "millrace.dev/gen/millrace/v1"
)

func adminCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "admin",
		Short: "See what happens on the servers, and end what should not",
		Long: "See what happens on the servers, and end what should not.\n\n" +
			"Each sub-command says which grant its credentials need; `admin` stands for all.\n" +
			"An API key has it. Several nodes answer as one, but for `node`.",
		Args: cobra.NoArgs,
		RunE: showHelp,
	}
	command.AddCommand(adminNodeCommand(), adminSessionsCommand(), adminSessionCommand(), adminChannelsCommand(), adminChannelCommand(),
		adminDisconnectCommand(), adminUnsubscribeCommand(), adminKickCommand(), adminRevokeCommand())
	return command
}

// operation is a sub-command that makes one call and prints its response.
type operation[Request, Response proto.Message] struct {
	use, short string
	args       cobra.PositionalArgs
	flags      func(*cobra.Command)
	request    func(command *cobra.Command, args []string) (Request, error)
	call       func(c *client) func(context.Context, Request) (Response, error)
	show       func(*output, Response) error
}

func (o operation[Request, Response]) command() *cobra.Command {
	command := &cobra.Command{Use: o.use, Short: o.short, Args: o.args, RunE: o.run}
	if o.flags != nil {
		o.flags(command)
	}
	addClientFlags(command)
	addOutputFlag(command)
	return command
}

func (o operation[Request, Response]) run(command *cobra.Command, args []string) error {
	request, err := o.request(command, args)
	if err != nil {
		return err
	}
	client, err := newClient(command)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(command.Context(), callTimeout)
	defer cancel()
	response, err := o.call(client)(ctx, request)
	if err != nil {
		return err
	}
	out := newOutput(command)
	if out.mode == asJSON {
		return out.message(response)
	}
	return o.show(out, response)
}

// addTargetFlags are those of what is about one session or all of a user.
func addTargetFlags(command *cobra.Command) {
	command.Flags().String("session", "", "`id` of one session")
	command.Flags().String("user", "", "`user` whose sessions are all meant")
	command.MarkFlagsOneRequired("session", "user")
	command.MarkFlagsMutuallyExclusive("session", "user")
}

func addMessageFlag(command *cobra.Command) {
	command.Flags().String("message", "", "`explanation` for the client")
}

// printCount prints how many sessions something was done to.
func printCount[Response interface{ GetSessions() uint32 }](what string) func(*output, Response) error {
	return func(o *output, response Response) error {
		if o.mode == asLines {
			return o.line("%d", response.GetSessions())
		}
		return o.line("%d sessions %s", response.GetSessions(), what)
	}
}

func adminDisconnectCommand() *cobra.Command {
	return operation[*millracev1.DisconnectRequest, *millracev1.DisconnectResponse]{
		use: "disconnect --session ID|--user USER", short: "End one session, or all of a user (disconnect)", args: cobra.NoArgs,
		flags: func(command *cobra.Command) {
			addTargetFlags(command)
			addMessageFlag(command)
		},
		request: func(command *cobra.Command, _ []string) (*millracev1.DisconnectRequest, error) {
			request := &millracev1.DisconnectRequest{
				Target: &millracev1.DisconnectRequest_User{User: flagText(command, "user")}, Message: flagText(command, "message"),
			}
			if session := flagText(command, "session"); session != "" {
				request.Target = &millracev1.DisconnectRequest_Session{Session: session}
			}
			return request, nil
		},
		call: func(c *client) func(context.Context, *millracev1.DisconnectRequest) (*millracev1.DisconnectResponse, error) {
			return c.admin.Disconnect
		},
		show: printCount[*millracev1.DisconnectResponse]("ended"),
	}.command()
}

func adminUnsubscribeCommand() *cobra.Command {
	return operation[*millracev1.UnsubscribeRequest, *millracev1.UnsubscribeResponse]{
		use: "unsubscribe CHANNEL --session ID|--user USER", short: "Take a channel from one session, or from all of a user (disconnect)", args: cobra.ExactArgs(1),
		flags: addTargetFlags,
		request: func(command *cobra.Command, args []string) (*millracev1.UnsubscribeRequest, error) {
			request := &millracev1.UnsubscribeRequest{Target: &millracev1.UnsubscribeRequest_User{User: flagText(command, "user")}, Channel: args[0]}
			if session := flagText(command, "session"); session != "" {
				request.Target = &millracev1.UnsubscribeRequest_Session{Session: session}
			}
			return request, nil
		},
		call: func(c *client) func(context.Context, *millracev1.UnsubscribeRequest) (*millracev1.UnsubscribeResponse, error) {
			return c.admin.Unsubscribe
		},
		show: printCount[*millracev1.UnsubscribeResponse]("unsubscribed"),
	}.command()
}

func adminKickCommand() *cobra.Command {
	return operation[*millracev1.KickRequest, *millracev1.KickResponse]{
		use: "kick USER", short: "End all sessions of a user, and refuse him for a while (disconnect)", args: cobra.ExactArgs(1),
		flags: func(command *cobra.Command) {
			command.Flags().Duration("for", time.Minute, "how `long` he is refused, up to 24h")
			addMessageFlag(command)
		},
		request: func(command *cobra.Command, args []string) (*millracev1.KickRequest, error) {
			d, err := command.Flags().GetDuration("for")
			return &millracev1.KickRequest{User: args[0], Duration: durationpb.New(d), Message: flagText(command, "message")}, err
		},
		call: func(c *client) func(context.Context, *millracev1.KickRequest) (*millracev1.KickResponse, error) {
			return c.admin.Kick
		},
		show: printCount[*millracev1.KickResponse]("ended"),
	}.command()
}

func adminRevokeCommand() *cobra.Command {
	return operation[*millracev1.RevokeRequest, *millracev1.RevokeResponse]{
		use: "revoke --token-id ID|--user USER", short: "Make a token worthless, or all that a user was issued so far (revoke)", args: cobra.NoArgs,
		flags: func(command *cobra.Command) {
			command.Flags().String("token-id", "", "`id` of one token (jti)")
			command.Flags().String("user", "", "`user` whose tokens, certificates and tickets are all meant")
			command.Flags().Duration("remember", 30*24*time.Hour, "how `long` to remember it: as long as the tokens may live")
			command.MarkFlagsOneRequired("token-id", "user")
			command.MarkFlagsMutuallyExclusive("token-id", "user")
		},
		request: func(command *cobra.Command, _ []string) (*millracev1.RevokeRequest, error) {
			d, err := command.Flags().GetDuration("remember")
			request := &millracev1.RevokeRequest{Target: &millracev1.RevokeRequest_User{User: flagText(command, "user")}, Remember: durationpb.New(d)}
			if id := flagText(command, "token-id"); id != "" {
				request.Target = &millracev1.RevokeRequest_TokenId{TokenId: id}
			}
			return request, err
		},
		call: func(c *client) func(context.Context, *millracev1.RevokeRequest) (*millracev1.RevokeResponse, error) {
			return c.admin.Revoke
		},
		show: printCount[*millracev1.RevokeResponse]("ended"),
	}.command()
}
