package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

func configReferenceCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "reference",
		Short: "Print docs/CONFIGURATION.md: every setting, its default and what it does",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			_, err := fmt.Fprint(command.OutOrStdout(), reference())
			return err
		},
	}
}

const referenceHead = `# Configuration

<!-- Written by ` + "`millrace config reference`" + `; make generate does it. -->

Every setting is a key of one YAML file (` + "`--config`" + ` or ` + "`MILLRACE_CONFIG`" + `), a variable and a flag. A flag counts before a variable, a variable before the file, the file
before the default. ` + "`millrace config check FILE`" + ` says what is wrong, with lines; ` + "`millrace config show`" + ` what is in force and where it comes from.

What is marked **live** changes without a restart: the server reads its file again, and the files of keys, when one of them changes and on SIGHUP. What does not check is logged, and nothing changes then.

| key | flag | variable | takes | default | |
| --- | --- | --- | --- | --- | --- |
`

// reference is the table of all settings.
func reference() string {
	var b strings.Builder
	b.WriteString(referenceHead)
	for _, s := range settings {
		usage := strings.ReplaceAll(s.usage, "`", "")
		if s.isLive() {
			usage = "**live** " + usage
		}
		shown := (&settingFlag{setting: s}).String()
		if shown != "" {
			shown = "`" + shown + "`"
		}
		fmt.Fprintf(&b, "| `%s` | `--%s` | `%s` | %s | %s | %s |\n", s.key, s.flag(), s.env(), kindOf(s.field(new(config))), shown, escapeCell(usage))
	}
	return b.String()
}

func escapeCell(text string) string {
	return strings.NewReplacer("|", `\|`, "*.", `\*.`, ">", "&gt;").Replace(text)
}
