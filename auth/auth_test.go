package auth_test

import (
	"testing"

	"millrace.dev/auth"
)

func TestGrantsAllowWhatTheyCover(t *testing.T) {
	t.Parallel()
	grant := func(pattern string, actions ...auth.Action) auth.Grant {
		return auth.Grant{Pattern: pattern, Actions: actions}
	}
	own := grant("user.{user}.>", auth.Subscribe, auth.Publish)
	for _, test := range []struct {
		name   string
		user   string
		grants []auth.Grant
		action auth.Action
		on     string
		want   bool
	}{
		{"nothing without a grant", "ada", nil, auth.Subscribe, "chat.1", false},
		{"everything with all of it", "", []auth.Grant{auth.Everything}, auth.Admin, ">", true},
		{"a channel that is named", "ada", []auth.Grant{grant("chat.1", auth.Publish)}, auth.Publish, "chat.1", true},
		{"a channel that is not named", "ada", []auth.Grant{grant("chat.1", auth.Publish)}, auth.Publish, "chat.2", false},
		{"another action", "ada", []auth.Grant{grant("chat.1", auth.Publish)}, auth.Subscribe, "chat.1", false},
		{"a grant without actions", "ada", []auth.Grant{grant("chat.1")}, auth.Subscribe, "chat.1", false},
		{"the second grant", "ada", []auth.Grant{grant("a", auth.Watch), grant("b", auth.Watch)}, auth.Watch, "b", true},
		{"watching where one may be present", "ada", []auth.Grant{grant("a", auth.Presence)}, auth.Watch, "a", false},

		{"a channel of a pattern", "ada", []auth.Grant{grant("chat.*", auth.Subscribe)}, auth.Subscribe, "chat.1", true},
		{"a pattern within a pattern", "ada", []auth.Grant{grant("chat.>", auth.Subscribe)}, auth.Subscribe, "chat.*", true},
		{"a pattern beyond a pattern", "ada", []auth.Grant{grant("chat.*", auth.Subscribe)}, auth.Subscribe, "chat.>", false},
		{"everything with a part of it", "ada", []auth.Grant{grant("chat.>", auth.Subscribe)}, auth.Subscribe, ">", false},
		{"a pattern that two grants cover only together", "ada", []auth.Grant{grant("a.*", auth.Subscribe), grant("b.*", auth.Subscribe)}, auth.Subscribe, "*.x", false},

		{"one's own channel", "ada", []auth.Grant{own}, auth.Publish, "user.ada.messages", true},
		{"one's own channels by a pattern", "ada", []auth.Grant{own}, auth.Subscribe, "user.ada.>", true},
		{"another's channel", "ada", []auth.Grant{own}, auth.Subscribe, "user.bob.messages", false},
		{"everybody's channels", "ada", []auth.Grant{own}, auth.Subscribe, "user.*.messages", false},
		{"a channel that is called {user}", "ada", []auth.Grant{own}, auth.Subscribe, "user.{user}.messages", false},
		{"the user's place without a user", "", []auth.Grant{own}, auth.Subscribe, "user..messages", false},
		{"an anonymous caller in any place", "", []auth.Grant{own}, auth.Subscribe, "user.ada.messages", false},
		{"a user called *", "*", []auth.Grant{own}, auth.Subscribe, "user.ada.messages", false},
		{"a user called >", ">", []auth.Grant{own}, auth.Subscribe, "user.ada.messages", false},
		{"a user called > where it would be the last token", ">", []auth.Grant{grant("user.{user}", auth.Subscribe)}, auth.Subscribe, "user.ada", false},
		{"a user with two tokens", "ada.messages", []auth.Grant{grant("user.{user}", auth.Subscribe)}, auth.Subscribe, "user.ada.messages", false},
		{"a user called {user}", "{user}", []auth.Grant{own}, auth.Subscribe, "user.ada.messages", false},
		{"the user twice", "ada", []auth.Grant{grant("dm.{user}.{user}", auth.Publish)}, auth.Publish, "dm.ada.ada", true},
		{"the user within a token", "ada", []auth.Grant{grant("inbox-{user}", auth.Publish)}, auth.Publish, "inbox-ada", true},
		{"a user whose name goes on", "ada", []auth.Grant{grant("inbox-{user}", auth.Publish)}, auth.Publish, "inbox-ada2", false},
		{"an anonymous caller where no user is named", "", []auth.Grant{grant("news.>", auth.Subscribe)}, auth.Subscribe, "news.today", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			id := auth.Identity{User: test.user, Grants: test.grants}
			if got := id.May(test.action, test.on); got != test.want {
				t.Errorf("%+v may %s %s: %v", id, test.action, test.on, got)
			}
		})
	}
}

func TestGrantsThatNeverWorkAreReported(t *testing.T) {
	t.Parallel()
	for _, good := range []auth.Grant{
		auth.Everything,
		{Pattern: "chat.*", Actions: []auth.Action{auth.Publish, auth.Publish}},
		{Pattern: "user.{user}.>", Actions: auth.Actions},
	} {
		if err := auth.CheckGrants([]auth.Grant{good}); err != nil {
			t.Errorf("%+v: %v", good, err)
		}
	}
	for _, test := range []struct {
		grant auth.Grant
		want  string
	}{
		{auth.Grant{Actions: auth.Actions}, "grants[1].pattern: invalid channel: the name is empty"},
		{auth.Grant{Pattern: "a..b", Actions: auth.Actions}, `grants[1].pattern: invalid channel: a token between "." is empty`},
		{auth.Grant{Pattern: "chat.1*", Actions: auth.Actions}, `grants[1].pattern: invalid channel: "*" and ">" stand for whole tokens`},
		{auth.Grant{Pattern: "chat"}, "grants[1].actions: none given"},
		{auth.Grant{Pattern: "chat", Actions: []auth.Action{"read"}}, `grants[1].actions: "read" is none of [subscribe publish presence watch history inspect disconnect revoke admin]`},
		{auth.Grant{Pattern: "chat", Actions: []auth.Action{"Publish"}}, `grants[1].actions: "Publish" is none of [subscribe publish presence watch history inspect disconnect revoke admin]`},
	} {
		if err := auth.CheckGrants([]auth.Grant{auth.Everything, test.grant}); err == nil || err.Error() != test.want {
			t.Errorf("%+v: %v", test.grant, err)
		}
	}
}

func TestAnOpenServerAllowsEverything(t *testing.T) {
	t.Parallel()
	for _, token := range []string{"", "anything"} {
		id, err := auth.Open{}.Authenticate(t.Context(), shows(token))
		if err != nil || id.User != "" || !id.Expires.IsZero() {
			t.Errorf("%q: %+v, %v", token, id, err)
		}
		for _, action := range auth.Actions {
			if !id.May(action, ">") {
				t.Errorf("%q may not %s", token, action)
			}
		}
	}
}
