package auth_test

import (
	"testing"

	"millrace.dev/auth"
)

func TestA6EachActionNeedsItsOwnGrant(t *testing.T) {
	t.Parallel()
	for _, granted := range auth.Actions {
		id := auth.Identity{User: "ada", Grants: []auth.Grant{{Pattern: "chat.{user}.*", Actions: []auth.Action{granted}}}}
		for _, action := range auth.Actions {
			for name, covered := range map[string]bool{"chat.ada.x": true, "chat.ada.*": true, "chat.bob.x": false, "chat.*.x": false, "chat.ada.>": false} {
				if got, want := id.May(action, name), (action == granted || granted == auth.Admin && action.IsAdministrative()) && covered; got != want {
					t.Errorf("with a grant for %s, %s of %s: %v", granted, action, name, got)
				}
			}
		}
	}
}
