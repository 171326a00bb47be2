import '@fontsource-variable/inter/index.css';
import { render } from 'solid-js/web';
import { App } from './ui/App';
import './ui/styles/tokens.css';
import './ui/styles/base.css';
import './ui/styles/pages.css';
import './ui/styles/call.css';
import './ui/styles/tile.css';
import './ui/styles/bar.css';
import './ui/styles/panel.css';

const root = document.getElementById('root');
if (root) render(() => <App />, root);
