import type { ReactNode } from 'react';
import { App as Strategies } from '../../document/cache-strategies.jsx';
import strategies from '../../document/cache-strategies.jsx?source';
import { LiveDashboard } from '../../document/live-dashboard.jsx';
import liveDashboard from '../../document/live-dashboard.jsx?source';
import { LiveMetrics } from '../../document/live-metrics.jsx';
import liveMetrics from '../../document/live-metrics.jsx?source';
import { App } from '../../document/provider.jsx';
import provider from '../../document/provider.jsx?source';
import { Example, Intro } from '../../parts/example.tsx';
import metricCard from '../../parts/metric-card.tsx?source';
import queries from '../../parts/queries.tsx?source';
import yourApp from '../../parts/your-app.tsx?source';
import { Table } from './table.tsx';
import table from './table.tsx?source';

export default function Dashboard(): ReactNode {
  return (
    <>
      <Intro title="Dashboard">
        Somebody changes a row of the database; every open page shows it, without asking again. The command below does
        it from a terminal.
      </Intro>
      <pre className="terminal">{`curl -X PATCH -d '{"score": 999}' ${location.origin}/demo/api/users/1`}</pre>
      <Example
        id="live-dashboard"
        title="Figures"
        documented
        stage={<LiveDashboard />}
        files={[
          { name: 'live-dashboard.jsx', text: liveDashboard },
          { name: 'metric-card.tsx', text: metricCard },
        ]}
      >
        A provider of its own, at an address of its own.
      </Example>
      <Example
        id="live-metrics"
        title="The latest of a channel"
        documented
        stage={<LiveMetrics />}
        files={[{ name: 'live-metrics.jsx', text: liveMetrics }]}
      >
        Subscribed in the first effect, undone in the last.
      </Example>
      <Example id="table" title="Read once, then follow" stage={<Table />} files={[{ name: 'table.tsx', text: table }]}>
        The answer of the database says where in the channel it stands, so nothing falls between loading and following.
        After a gap the query is loaded anew, by itself.
      </Example>
      <Example
        id="strategies"
        title="Strategies for a query cache"
        documented
        stage={<Strategies />}
        files={[
          { name: 'cache-strategies.jsx', text: strategies },
          { name: 'queries.tsx', text: queries },
        ]}
      >
        Entities that are merged, appended and removed, in the application's own cache.
      </Example>
      <Example
        id="provider"
        title="The provider"
        documented
        stage={<App />}
        files={[
          { name: 'provider.jsx', text: provider },
          { name: 'your-app.tsx', text: yourApp },
        ]}
      >
        The config is another object at each render. There is still one connection, and it is that of the whole page.
      </Example>
    </>
  );
}
