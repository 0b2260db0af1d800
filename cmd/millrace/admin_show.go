package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	millracev1 "millrace.dev/gen/millrace/v1"
)

func adminNodeCommand() *cobra.Command {
	return operation[*millracev1.GetNodeRequest, *millracev1.GetNodeResponse]{
		use: "node", short: "Describe the server that answers (inspect)", args: cobra.NoArgs,
		request: func(*cobra.Command, []string) (*millracev1.GetNodeRequest, error) {
			return &millracev1.GetNodeRequest{}, nil
		},
		call: func(c *client) func(context.Context, *millracev1.GetNodeRequest) (*millracev1.GetNodeResponse, error) {
			return c.admin.GetNode
		},
		show: func(o *output, n *millracev1.GetNodeResponse) error {
			return o.pairs(
				"node", n.GetNode(), "version", n.GetVersion(), "started", n.GetStartTime().AsTime().Local().Format(time.DateTime),
				"up", n.GetTime().AsTime().Sub(n.GetStartTime().AsTime()).Round(time.Second).String(),
				"you", cmp.Or(n.GetUser(), "an API key"), "may", strings.Join(n.GetAllowed(), ", "))
		},
	}.command()
}

// pairs prints names and values in turn, each in a line.
func (o *output) pairs(texts ...string) error {
	for i := 0; i < len(texts); i += 2 {
		name, value := texts[i], printable(texts[i+1])
		line := name + "\t" + value
		if o.mode == asText {
			line = o.dim(fmt.Sprintf("%-13s", name)) + "  " + value
		}
		if err := o.line("%s", line); err != nil {
			return err
		}
	}
	return nil
}

var sessionOrders = map[string]millracev1.SessionOrder{
	"id": millracev1.SessionOrder_SESSION_ORDER_UNSPECIFIED, "newest": millracev1.SessionOrder_SESSION_ORDER_NEWEST,
	"pending": millracev1.SessionOrder_SESSION_ORDER_PENDING,
}

func adminSessionsCommand() *cobra.Command {
	command := &cobra.Command{Use: "sessions", Short: "List sessions (inspect)", Args: cobra.NoArgs, RunE: runAdminSessions}
	flags := command.Flags()
	flags.String("user", "", "only those of this `user`")
	flags.String("channel", "", "only those subscribed to this `channel` or pattern")
	flags.String("address", "", "only those from this `address` or network")
	flags.String("wire", "", "only those on this `wire`: connect, grpc, grpcweb, ws, sse")
	addListFlags(command, sessionOrders)
	return command
}

// addListFlags are those of every list.
func addListFlags[Order any](command *cobra.Command, orders map[string]Order) {
	names := slices.Sorted(maps.Keys(orders))
	command.Flags().String("order", names[0], "`how` they are sorted: "+strings.Join(names, ", "))
	command.Flags().Uint32("limit", 100, "at most so `many`; 0 for all")
	addClientFlags(command)
	addOutputFlag(command)
}

// orderOf is the order that the flag names.
func orderOf[Order any](command *cobra.Command, orders map[string]Order) (Order, error) {
	name := flagText(command, "order")
	order, found := orders[name]
	if !found {
		return order, usagef("--order is one of %s, not %q", strings.Join(slices.Sorted(maps.Keys(orders)), ", "), name)
	}
	return order, nil
}

// listPages prints the pages of a list.
func listPages(command *cobra.Command, page func(ctx context.Context, c *client, out *output, size uint32) (printed int, more bool, err error)) error {
	limit, err := command.Flags().GetUint32("limit")
	if err != nil {
		return err
	}
	client, err := newClient(command)
	if err != nil {
		return err
	}
	defer client.Close()
	out := newOutput(command)
	return eachPage(limit, func(size uint32) (uint32, bool, error) {
		ctx, cancel := context.WithTimeout(command.Context(), callTimeout)
		defer cancel()
		printed, more, err := page(ctx, client, out, size)
		return uint32(printed), more, err
	})
}

func runAdminSessions(command *cobra.Command, _ []string) error {
	order, err := orderOf(command, sessionOrders)
	if err != nil {
		return err
	}
	request := &millracev1.ListSessionsRequest{
		User: flagText(command, "user"), Channel: flagText(command, "channel"), Address: flagText(command, "address"), Protocol: flagText(command, "wire"), Order: order,
	}
	return listPages(command, func(ctx context.Context, c *client, out *output, size uint32) (int, bool, error) {
		isFirst := request.GetPageToken() == ""
		request.PageSize = size
		response, err := c.admin.ListSessions(ctx, request)
		if err != nil {
			return 0, false, err
		}
		if isFirst && out.mode == asText {
			err = out.line("%d sessions", response.GetTotal())
		}
		for _, s := range response.GetSessions() {
			if err == nil {
				err = out.session(s)
			}
		}
		request.PageToken = response.GetNextPageToken()
		return len(response.GetSessions()), request.GetPageToken() != "", err
	})
}

// session prints a session of a list.
func (o *output) session(s *millracev1.Session) error {
	switch o.mode {
	case asJSON:
		return o.message(s)
	case asLines:
		return o.fields(s.GetId(), printable(s.GetUser()), s.GetProtocol(), printable(s.GetPeer()), strconv.FormatUint(uint64(s.GetSubscriptions()), 10),
			strconv.FormatUint(s.GetPendingBytes(), 10), printable(s.GetClient()))
	case asText:
	}
	text := fmt.Sprintf("  %s  %-16s  %-8s  %-22s  since %s  %d channels", o.bold(s.GetId()), cmp.Or(printable(s.GetUser()), "-"), s.GetProtocol(), printable(s.GetPeer()),
		s.GetStartTime().AsTime().Local().Format(time.DateTime), s.GetSubscriptions())
	if s.GetPendingBytes() > 0 {
		text += fmt.Sprintf("  %d bytes wait", s.GetPendingBytes())
	}
	if s.GetSlow() {
		text += "  SLOW"
	}
	return o.line("%s", strings.TrimRight(text+"  "+printable(s.GetClient()), " "))
}

func adminSessionCommand() *cobra.Command {
	return operation[*millracev1.GetSessionRequest, *millracev1.GetSessionResponse]{
		use: "session ID", short: "Show all of one session (inspect)", args: cobra.ExactArgs(1),
		request: func(_ *cobra.Command, args []string) (*millracev1.GetSessionRequest, error) {
			return &millracev1.GetSessionRequest{Session: args[0]}, nil
		},
		call: func(c *client) func(context.Context, *millracev1.GetSessionRequest) (*millracev1.GetSessionResponse, error) {
			return c.admin.GetSession
		},
		show: (*output).wholeSession,
	}.command()
}

func (o *output) wholeSession(r *millracev1.GetSessionResponse) error {
	s := r.GetSession()
	texts := []string{"session", s.GetId(), "user", s.GetUser(), "wire", s.GetProtocol(), "from", s.GetPeer(), "client", s.GetClient(),
		"since", s.GetStartTime().AsTime().Local().Format(time.DateTime), "token id", r.GetTokenId(), "waiting", fmt.Sprintf("%d bytes", s.GetPendingBytes())}
	if r.GetStalled() != nil {
		texts = append(texts, "takes nothing", "for "+r.GetStalled().AsDuration().Round(time.Millisecond).String())
	}
	if len(r.GetPresent()) > 0 {
		texts = append(texts, "present in", strings.Join(r.GetPresent(), " "))
	}
	for _, sub := range r.GetSubscriptions() {
		texts = append(texts, "subscription", subscriptionText(sub))
	}
	return o.pairs(texts...)
}

func subscriptionText(s *millracev1.SessionSubscription) string {
	text := s.GetChannel()
	if s.GetPresence() {
		text += " (presence)"
	}
	if s.GetHead() != nil {
		text += fmt.Sprintf(" at %d of %d", s.GetPosition().GetOffset(), s.GetHead().GetOffset())
	}
	if s.GetPendingBytes() > 0 {
		text += fmt.Sprintf(", %d bytes wait", s.GetPendingBytes())
	}
	if s.GetBehind() {
		text += ", reads the log"
	}
	return text
}

var channelOrders = map[string]millracev1.ChannelOrder{
	"name": millracev1.ChannelOrder_CHANNEL_ORDER_UNSPECIFIED, "subscribers": millracev1.ChannelOrder_CHANNEL_ORDER_SUBSCRIBERS,
	"rate": millracev1.ChannelOrder_CHANNEL_ORDER_RATE,
}

func adminChannelsCommand() *cobra.Command {
	command := &cobra.Command{Use: "channels [PATTERN]", Short: "List channels and patterns that have subscribers (inspect)", Args: cobra.MaximumNArgs(1), RunE: runAdminChannels}
	addListFlags(command, channelOrders)
	return command
}

func runAdminChannels(command *cobra.Command, args []string) error {
	order, err := orderOf(command, channelOrders)
	if err != nil {
		return err
	}
	request := &millracev1.ListChannelsRequest{Order: order, Pattern: strings.Join(args, "")}
	return listPages(command, func(ctx context.Context, c *client, out *output, size uint32) (int, bool, error) {
		isFirst := request.GetPageToken() == ""
		request.PageSize = size
		response, err := c.admin.ListChannels(ctx, request)
		if err != nil {
			return 0, false, err
		}
		if isFirst && out.mode == asText {
			err = out.line("%d channels and patterns", response.GetTotal())
		}
		for _, channel := range response.GetChannels() {
			if err == nil {
				err = out.channel(channel)
			}
		}
		request.PageToken = response.GetNextPageToken()
		return len(response.GetChannels()), request.GetPageToken() != "", err
	})
}

// channel prints a channel of a list.
func (o *output) channel(c *millracev1.Channel) error {
	switch o.mode {
	case asJSON:
		return o.message(c)
	case asLines:
		return o.fields(c.GetName(), strconv.FormatUint(uint64(c.GetSubscribers()), 10), positionText(c.GetHead()), fmt.Sprintf("%.1f", c.GetMessageRate()))
	default:
		return o.line("  %s  %d subscribers  %.1f messages/s  %s", o.bold(fmt.Sprintf("%-30s", printable(c.GetName()))), c.GetSubscribers(), c.GetMessageRate(), o.dim(positionText(c.GetHead())))
	}
}

func adminChannelCommand() *cobra.Command {
	return operation[*millracev1.GetChannelRequest, *millracev1.GetChannelResponse]{
		use: "channel CHANNEL", short: "Show all of one channel (inspect)", args: cobra.ExactArgs(1),
		request: func(_ *cobra.Command, args []string) (*millracev1.GetChannelRequest, error) {
			return &millracev1.GetChannelRequest{Channel: args[0]}, nil
		},
		call: func(c *client) func(context.Context, *millracev1.GetChannelRequest) (*millracev1.GetChannelResponse, error) {
			return c.admin.GetChannel
		},
		show: func(o *output, r *millracev1.GetChannelResponse) error {
			c, age := r.GetChannel(), "as long as there is room"
			if r.GetHistoryAge() != nil {
				age = r.GetHistoryAge().AsDuration().String()
			}
			return o.pairs("channel", c.GetName(), "subscribers", strconv.FormatUint(uint64(c.GetSubscribers()), 10), "members", strconv.FormatUint(uint64(r.GetMembers()), 10),
				"rate", fmt.Sprintf("%.1f messages/s, %.0f bytes/s", c.GetMessageRate(), c.GetByteRate()), "newest", positionText(c.GetHead()), "oldest kept", positionText(r.GetOldest()),
				"rule", r.GetRule(), "keeps", fmt.Sprintf("%d messages, %s", r.GetHistoryMessages(), age))
		},
	}.command()
}
