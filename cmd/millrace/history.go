package main

import (
	"context"

	"github.com/spf13/cobra"

	millracev1 "millrace.dev/gen/millrace/v1"
)

const maxPage = 1000 // of the API

func historyCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "history CHANNEL",
		Short: "Print the kept messages of a channel, oldest first",
		Args:  cobra.ExactArgs(1),
		RunE:  runHistory,
	}
	command.Flags().Uint32("limit", 100, "at most so `many` messages; 0 for all")
	command.Flags().Bool("newest", false, "newest first")
	addClientFlags(command)
	addOutputFlag(command)
	return command
}

func runHistory(command *cobra.Command, args []string) error {
	limit, err := command.Flags().GetUint32("limit")
	if err != nil {
		return err
	}
	newest, err := command.Flags().GetBool("newest")
	if err != nil {
		return err
	}
	client, err := newClient(command)
	if err != nil {
		return err
	}
	defer client.Close()
	request := &millracev1.HistoryRequest{Channel: args[0]}
	if newest {
		request.Order = millracev1.HistoryOrder_HISTORY_ORDER_NEWEST_FIRST
	}
	return eachPage(limit, func(size uint32) (uint32, bool, error) {
		request.PageSize = size
		return historyPage(command, client, request)
	})
}

// eachPage calls page until there are no more, or limit items were printed; 0
// is no limit.
func eachPage(limit uint32, page func(size uint32) (printed uint32, more bool, err error)) error {
	for left := limit; ; {
		size := uint32(maxPage)
		if limit > 0 {
			size = min(left, maxPage)
		}
		printed, more, err := page(size)
		left -= min(left, printed)
		if err != nil || !more || limit > 0 && left == 0 {
			return err
		}
	}
}

// historyPage prints a page, and has the request ask for the next one.
func historyPage(command *cobra.Command, client *client, request *millracev1.HistoryRequest) (uint32, bool, error) {
	ctx, cancel := context.WithTimeout(command.Context(), callTimeout)
	defer cancel()
	response, err := client.History(ctx, request)
	if err != nil {
		return 0, false, err
	}
	out := newOutput(command)
	for _, m := range response.GetMessages() {
		if err := out.published(m); err != nil {
			return 0, false, err
		}
	}
	request.PageToken = response.GetNextPageToken()
	return uint32(len(response.GetMessages())), request.GetPageToken() != "", nil
}
